"""What starts a saved export by itself, and what keeps it from starting."""

from typing import Any

from prefect.settings import PREFECT_API_URL, temporary_settings

from cli.exports_changes import set_export_pause
from tests.e2e.desk import Desk
from tests.waiting import ask_prefect, wait_for

ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
NOT_CARRIED_OUT = {"SCHEDULED", "CANCELLED"}  # its scheduler plans runs over a pause


def test_schedule_fires_by_itself_and_a_paused_one_does_not(desk: Desk) -> None:
    other_list = desk.world.box.add_list("List of nobody")
    minutely = ("--cron", "* * * * *", "--timezone", "UTC")
    for name, list_id in (("fires", ""), ("paused", other_list)):
        saved = desk.save(name, *minutely, list_id=list_id)
        assert saved.code == 0, saved.err
    desk.do("deploy")
    desk.do("exports", "pause", "paused")

    def first_end() -> Any:
        return next((run for run in desk.runs("fires") if run["state_type"] in ENDED), None)

    with desk.worker():
        ended = wait_for(first_end, "end of a run that the schedule began")
    assert (ended["state_name"], ended["auto_scheduled"]) == ("Completed", True)
    assert ended["expected_start_time"].endswith(":00Z")
    assert set(desk.world.members()) == {"a@example.com", "b@example.com"}
    assert not [run for run in desk.runs("paused") if run["state_type"] not in NOT_CARRIED_OUT]
    assert desk.world.box.state.members(other_list) == {}


def test_runs_that_a_pause_did_not_reach_send_nothing(desk: Desk) -> None:
    assert desk.save("nightly", "--cron", "* * * * *").code == 0
    desk.do("deploy")
    taken, later = wait_for(lambda: desk.planned_runs("nightly")[:2], "planned runs")

    def set_state(run: dict[str, Any], **state: Any) -> None:
        desk.ask(f"flow_runs/{run['id']}/set_state", state=state, force=True)

    for run in (taken, later):  # by a worker
        set_state(run, type="PENDING")
    desk.do("exports", "pause", "nightly")
    assert {run["id"] for run in desk.runs("nightly")} == {taken["id"], later["id"]}
    for run, due in ((taken, "2026-01-01"), (later, "2099-01-01")):
        when = {"scheduled_time": f"{due}T00:00:00Z"}
        set_state(run, type="SCHEDULED", state_details=when)

    def carry_out() -> tuple[str, str]:
        desk.work_once()
        path = f"flow_runs/{taken['id']}"
        ended = wait_for(lambda: (run := desk.get(path))["state_type"] in ENDED and run, "its end")
        return ended["state_name"], ended["state"]["message"]

    state, message = carry_out()
    assert (state, "is paused: nothing was sent" in message) == ("Cancelled", True)
    assert desk.world.members() == {}

    retry = {"name": "AwaitingRetry", "state_details": {"scheduled_time": "2026-01-01T00:00:00Z"}}
    set_state(taken, type="SCHEDULED", **retry)  # as Retry in Prefect's UI
    state, _ = carry_out()
    assert state == "Completed", "somebody asked for it"
    assert set(desk.world.members()) == {"a@example.com", "b@example.com"}

    desk.do("exports", "pause", "nightly")
    assert [run["id"] for run in desk.runs("nightly")] == [taken["id"]]


def test_run_after_data_is_ready_waits_or_is_skipped_while_another_is_under_way(
    desk: Desk,
) -> None:
    other_list = desk.world.box.add_list("The other list")
    for name, overlap, list_id in (("waits", "wait", ""), ("skips", "skip", other_list)):
        saved = desk.save(name, "--after", "crm", "--overlap", overlap, list_id=list_id)
        assert saved.code == 0, saved.err
    desk.do("deploy")
    again = desk.do("deploy")
    assert {"export waits: unchanged", "export skips: unchanged"} <= set(again.splitlines())
    assert [len(desk.triggers(name)) for name in ("waits", "skips")] == [1, 1]

    for _ in range(2):
        told = desk.here("data-ready", "crm", "--json")
        assert told.document["exports"] == ["skips", "waits"]
    wait_for(lambda: len(desk.runs("waits", "skips")) == 4, "run of each for each event")
    desk.work_once()

    def ends(name: str, *wanted: str) -> Any:
        runs = desk.runs(name)
        return runs if sorted(run["state_name"] for run in runs) == sorted(wanted) else None

    skipped = wait_for(lambda: ends("skips", "Cancelled", "Completed"), "end of both")
    (cancelled,) = [run for run in skipped if run["state_name"] == "Cancelled"]
    assert cancelled["state"]["message"] == "Deployment concurrency limit reached."

    def waiting() -> Any:
        runs = {run["state_type"]: run for run in desk.runs("waits")}
        return runs["SCHEDULED"] if runs.keys() == {"SCHEDULED", "COMPLETED"} else None

    second = wait_for(waiting, "one that waits and one that is done")
    states = desk.get(f"flow_run_states/?flow_run_id={second['id']}")
    assert "AwaitingConcurrencySlot" in {one["name"] for one in states}  # a slow server adds `Late`
    now = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2026-01-01T00:00:00Z"}}
    desk.ask(f"flow_runs/{second['id']}/set_state", state=now, force=True)  # in place of 30 s
    desk.work_once()
    wait_for(lambda: ends("waits", "Completed", "Completed"), "end of the one that waited")
    assert set(desk.world.members()) == {"a@example.com", "b@example.com"}
    assert set(desk.world.box.state.members(other_list)) == {"a@example.com", "b@example.com"}
    assert desk.listed()["waits"]["last_run"]["state"] == "Completed"

    desk.do("exports", "pause", "waits")
    told = desk.here("data-ready", "crm", "--json")
    assert (told.document["exports"], told.document["paused"]) == (["skips"], ["waits"])
    wait_for(lambda: len(desk.runs("skips")) == 3, "run of the one that is not paused")
    assert len(desk.runs("waits")) == 2
    owned = [one["id"] for name in ("waits", "skips") for one in desk.triggers(name)]
    for name in ("waits", "skips"):
        desk.do("exports", "remove", name, "--yes")
    left = {one["id"] for one in desk.ask("automations/filter")}
    assert not left & set(owned)


def test_schedule_that_the_file_has_no_more_goes_from_the_server(desk: Desk) -> None:
    nightly = ("--cron", "0 2 * * *", "--timezone", "UTC")
    assert desk.save("nightly", *nightly).code == 0
    desk.do("exports", "schedule", "nightly", "--slug", "noon", "--cron", "0 12 * * *")
    desk.do("deploy")
    one = desk.deployment("nightly")
    by_hand = {"schedule": {"interval": 3600, "anchor_date": "2026-01-01T00:00:00Z"}}
    answer = ask_prefect(
        "POST", f"{desk.server.api_url}/deployments/{one['id']}/schedules", json=[by_hand]
    )
    answer.raise_for_status()
    assert desk.planned_runs("nightly")

    assert desk.save("nightly", "--replace").code == 0
    told = desk.do("deploy").splitlines()
    assert {"schedule regular of nightly: removed", "schedule noon of nightly: removed"} <= set(
        told
    )
    (left,) = desk.deployment("nightly")["schedules"]
    assert left["slug"] is None
    again = desk.do("deploy").splitlines()
    assert "export nightly: unchanged" in again
    assert not [line for line in again if line.startswith("schedule ")]


def test_switches_and_schedules_of_file_and_prefect_s_ui_come_together(desk: Desk) -> None:
    for name, options in (("nightly", ("--cron", "0 2 * * *")), ("hand-made", ())):
        assert desk.save(name, *options).code == 0
    first = desk.do("deploy").splitlines()[0]
    assert first == f"Prefect server: {desk.server.api_url}"
    assert desk.here("deploy", "--json", "--file", desk.file).document["server"] in first

    desk.do("exports", "pause", "nightly")
    with temporary_settings(restore_defaults={PREFECT_API_URL}):  # resumed where none is known
        set_export_pause("nightly", desk.file, active=True, as_json=True)
    desk.do("deploy")
    assert desk.planned_runs("nightly")

    by_hand = {"schedule": {"cron": "0 3 * * *", "timezone": "UTC"}, "active": False}
    path = f"deployments/{desk.deployment('hand-made')['id']}/schedules"
    answer = ask_prefect("POST", f"{desk.server.api_url}/{path}", json=[by_hand])
    answer.raise_for_status()
    told = desk.do("exports", "schedule", "hand-made", "--cron", "0 4 * * *").splitlines()[-1]
    assert "hand-made has the schedule regular: 0 4 * * * (UTC, off). It is off" in told
    (one,) = desk.deployment("hand-made")["schedules"]
    assert (one["slug"], one["active"], one["schedule"]["cron"]) == ("regular", False, "0 4 * * *")
    assert "export hand-made: unchanged" in desk.do("deploy")
    assert desk.listed()["hand-made"]["paused"]

    desk.file.unlink()  # a colleague's folder, which knows of none
    refused = desk.save("nightly")
    assert (refused.code, f"server at {desk.server.api_url} has an" in refused.err) == (2, True)
    assert not desk.file.exists()


def test_exports_and_deploy_tell_why_nothing_begins(desk: Desk) -> None:
    assert desk.save("nightly", "--cron", "0 2 * * *").code == 0
    desk.do("deploy")
    workers = f"{desk.server.api_url}/work_pools/exports/workers"
    for one in desk.ask("work_pools/exports/workers/filter"):  # what other tests have left
        ask_prefect("DELETE", f"{workers}/{one['name']}").raise_for_status()
    no_worker = "No worker is alive on the work pool exports: what is due waits for `"
    for command in ("deploy", "exports"):
        last = desk.do(command).splitlines()[-1]
        assert last.startswith(no_worker), last
        assert last.endswith("prefect worker start --pool exports`.")

    drained = desk.here("drain", "--timeout-minutes", "0")
    assert drained.code == 0, drained.out + drained.err
    last = desk.do("exports").splitlines()[-1]
    assert last.startswith("The work pool exports is paused: no run begins.")
    assert "drain --resume` lets" in last
    assert desk.here("drain", "--resume").code == 0

    with desk.worker():
        wait_for(lambda: desk.ask("work_pools/exports/workers/filter"), "worker")
        assert desk.do("deploy").splitlines()[-1].startswith("A worker is alive")
        assert desk.do("exports").splitlines()[-1].startswith("nightly")
        document = desk.here("exports", "--file", desk.file, "--json").document
    standing = {"pool": "exports", "is_paused": False, "has_worker": True}
    assert document["work_pools"] == [standing]


def test_data_that_nobody_waits_for_is_a_failure_that_names_what_is_waited_for(
    desk: Desk,
) -> None:
    nobody = desk.here("data-ready", "crm")
    assert (nobody.code, nobody.out) == (1, "")
    assert "save one with `--after crm`" in nobody.err
    assert desk.save("nightly", "--after", "customers").code == 0
    desk.do("deploy")
    misspelt = desk.here("data-ready", "custmers")
    assert (misspelt.code, misspelt.out, len(misspelt.err.splitlines())) == (1, "", 1)
    assert "Did you mean customers? What exports wait for: customers." in misspelt.err
    told = desk.here("data-ready", "custmers", "--json")
    assert (told.code, told.document["exports"]) == (1, [])
    assert told.document["waited_for"] == ["customers"]
    assert desk.runs("nightly") == []


def test_data_is_announced_though_an_export_was_deleted_in_prefect(desk: Desk) -> None:
    other_list = desk.world.box.add_list("Another list")
    for name, list_id in (("deleted", ""), ("kept", other_list)):
        assert desk.save(name, "--after", "erp", list_id=list_id).code == 0
    desk.do("deploy")
    one = desk.deployment("deleted")["id"]
    ask_prefect("DELETE", f"{desk.server.api_url}/deployments/{one}").raise_for_status()
    told = desk.here("data-ready", "erp", "--json")
    assert told.code == 0, told.err
    assert told.document["exports"] == ["kept"]
    wait_for(lambda: desk.runs("kept"), "run of the one that is left")
