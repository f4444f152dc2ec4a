"""Saved exports from their first line to their last: file, server, worker and sandbox are real."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import httpx
import polars as pl
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from cli.exports_changes import set_export_pause
from deployments import form_choices
from tests.conftest import Finished, PrefectServer, World
from tests.e2e.clearing import remove_deployed
from tests.e2e.waiting import wait_for

NO_LIST = "0b9ecbcd-2d52-4ffa-ba0b-1d0c0d8d3a5b"
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}

Here = Callable[..., Finished]


@dataclass(frozen=True)
class Desk:
    """A folder with profiles and a file of exports, and the commands on it."""

    here: Here
    server: PrefectServer
    world: World
    file: Path

    def save(self, name: str, *options: str, list_id: str = "") -> Finished:
        return self.here(
            "save", name, "--file", self.file,
            "--connection", self.world.connection,
            "--list-id", list_id or self.world.list_id,
            "--profiles", "profiles.parquet",
            "--segments-column", "Segments",
            "--segment", "Gold",
            "--email", "EMail",
            *options,
        )  # fmt: skip

    def do(self, *arguments: str) -> str:
        done = self.here(*arguments, "--file", self.file)
        assert done.code == 0, done.err
        return done.out

    def listed(self) -> dict[str, dict[str, Any]]:
        done = self.here("exports", "--file", self.file, "--json")
        assert done.code == 0, done.err
        return {one["name"]: one for one in done.document["exports"]}

    def ask(self, path: str, **body: Any) -> Any:
        answer = httpx.post(f"{self.server.api_url}/{path}", json=body, timeout=120)
        answer.raise_for_status()
        return answer.json()

    def get(self, path: str) -> Any:
        answer = httpx.get(f"{self.server.api_url}/{path}", timeout=120)
        answer.raise_for_status()
        return answer.json()

    def deployment(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"deployments/name/export-segment/{name}")
        return found

    def triggers(self, name: str) -> list[dict[str, Any]]:
        one = self.deployment(name)["id"]
        found: list[dict[str, Any]] = self.get(f"automations/related-to/prefect.deployment.{one}")
        return found

    def runs(self, *names: str) -> list[dict[str, Any]]:
        ids = [self.deployment(name)["id"] for name in names]
        found: list[dict[str, Any]] = self.ask(
            "flow_runs/filter", deployments={"id": {"any_": ids}}, sort="START_TIME_ASC"
        )
        return found

    def planned_runs(self, name: str) -> list[dict[str, Any]]:
        """Ask the scheduler to plan an export's runs now, and give what it has planned."""
        one = self.deployment(name)["id"]
        httpx.post(f"{self.server.api_url}/deployments/{one}/schedule", json={}, timeout=120)
        return [run for run in self.runs(name) if run["state_type"] == "SCHEDULED"]

    @contextmanager
    def worker(self) -> Iterator[None]:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", "exports"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**self.server.env(), "PREFECT_WORKER_QUERY_SECONDS": "1"},
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=120)

    def work_once(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", "exports", "--run-once"],
            capture_output=True, text=True, env=self.server.env(), timeout=180, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def desk(here: Here, prefect_server: PrefectServer, world: World, tmp_path: Path) -> Iterator[Desk]:
    """A desk; what is deployed from it is gone afterwards, for others share the server."""
    pl.DataFrame(
        {
            "CustomerId": ["a", "b", "c"],
            "EMail": ["a@example.com", "b@example.com", "c@example.com"],
            "Segments": [["Gold"], ["Gold", "Silver"], ["Silver"]],
        }
    ).write_parquet(tmp_path / "profiles.parquet")
    desk = Desk(here, prefect_server, world, tmp_path / "prefect.yaml")
    yield desk
    with (
        temporary_settings({PREFECT_API_URL: prefect_server.api_url}),
        get_client(sync_client=True) as client,
    ):
        remove_deployed(client)


def check_form(desk: Desk, name: str) -> None:
    """The form offers what there is, and refuses in words what is not."""
    deployment = desk.deployment(name)
    fields = deployment["parameter_openapi_schema"]["definitions"]["ExportRequest"]["properties"]
    assert desk.world.connection in fields["connection"]["enum"]
    assert "there were: Gold, Silver." in fields["segments"]["description"]
    saved = deployment["parameters"]["request"]
    answer = httpx.post(
        f"{desk.server.api_url}/deployments/{deployment['id']}/create_flow_run",
        json={"parameters": {"request": {**saved, "connection": "nobody"}}},
        timeout=120,
    )
    assert answer.status_code == 409
    assert "is not one of" in answer.json()["detail"]
    right = {"request": {**saved, "segments": ["Silver"]}}
    run = desk.ask(f"deployments/{deployment['id']}/create_flow_run", parameters=right)
    httpx.delete(f"{desk.server.api_url}/flow_runs/{run['id']}", timeout=120).raise_for_status()


def check_attach(desk: Desk, name: str) -> None:
    """A connection is given back where a run would take it, in file and form as well."""
    attach = ("exports", "attach", name, "--file", desk.file, "--connection")
    refused = desk.here(*attach, "nobody")
    assert (refused.code, "There is no connection" in refused.err) == (2, True)
    assert "Nothing was changed" in refused.err
    assert desk.listed()[name]["connection"] == ""
    told = desk.here(*attach, desk.world.connection)
    assert told.code == 0, told.err
    assert f'+        connection: "{desk.world.connection}"' in told.out
    assert "would deliver to list “" in told.out
    assert desk.deployment(name)["parameters"]["request"]["connection"] == desk.world.connection
    check_form(desk, name)
    assert f"export {name}: unchanged" in desk.do("deploy")


def test_saved_export_lives_from_its_first_line_to_its_last(desk: Desk) -> None:
    nightly = ("--cron", "0 2 * * *", "--timezone", "Europe/London")
    tried = desk.save("nightly", *nightly, "--dry-run", "--json")
    assert (tried.document["written"], desk.file.exists()) == (False, False)
    saved = desk.save("nightly", *nightly)
    assert saved.code == 0, saved.err
    assert saved.out.startswith(tried.document["diff"])
    refused = desk.save("nightly")
    assert (refused.code, "--replace" in refused.err) == (2, True)
    assert "+  - name: nightly" in saved.out
    assert "deploy" in saved.out.splitlines()[-1]
    assert desk.listed()["nightly"]["on_server"] is False

    assert "export nightly: created" in desk.do("deploy")
    check_form(desk, "nightly")
    told = desk.listed()["nightly"]
    assert told["runs"] == ["0 2 * * * (Europe/London)"]
    assert (told["in_file"], told["on_server"], told["paused"]) == (True, True, False)
    assert desk.planned_runs("nightly")
    assert desk.listed()["nightly"]["next_run"]

    assert "+        active: false" in desk.do("exports", "pause", "nightly")
    assert desk.planned_runs("nightly") == []
    assert "export nightly: unchanged" in desk.do("deploy")
    assert desk.listed()["nightly"]["paused"]
    assert desk.planned_runs("nightly") == []
    assert "-        active: false" in desk.do("exports", "resume", "nightly")
    assert desk.planned_runs("nightly")

    desk.do("exports", "schedule", "nightly", "--cron", "30 5 * * *", "--timezone", "UTC")
    assert desk.listed()["nightly"]["runs"] == ["30 5 * * * (UTC)"]
    desk.do("exports", "schedule", "nightly", "--clear")
    assert desk.listed()["nightly"]["runs"] == []
    assert desk.planned_runs("nightly") == []

    assert 'connection: ""' in desk.do("exports", "detach", "nightly")
    assert desk.listed()["nightly"]["connection"] == ""
    assert desk.deployment("nightly")["parameters"]["request"]["connection"] == ""
    check_attach(desk, "nightly")

    told_last = desk.do("exports", "remove", "nightly", "--yes")
    assert "What stays" in told_last
    assert desk.listed().get("nightly") is None


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
    assert desk.runs("paused") == []
    assert desk.world.box.state.members(other_list) == {}
    for name in ("fires", "paused"):
        desk.do("exports", "remove", name, "--yes")


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
    waiting = wait_for(lambda: ends("waits", "AwaitingConcurrencySlot", "Completed"), "a queue")
    (second,) = [run for run in waiting if run["state_name"] != "Completed"]
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
    answer = httpx.post(
        f"{desk.server.api_url}/deployments/{one['id']}/schedules", json=[by_hand], timeout=120
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
    answer = httpx.post(f"{desk.server.api_url}/{path}", json=[by_hand], timeout=120)
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


def test_export_of_a_date_is_saved_before_its_snapshot_is_there(desk: Desk) -> None:
    dated = ("--profiles", "{as_of}/profiles.parquet")
    saved = desk.save("history", *dated, "--json")
    assert saved.code == 0, saved.err
    assert saved.document["written"]
    assert "Not checked: columns and segments" in saved.document["message"]
    assert "`backfill`" in saved.document["unchecked"]
    nightly = ("--as-of", "today", "--cron", "0 2 * * *")
    saved = desk.save("nightly", *dated, *nightly)
    assert saved.code == 0, saved.err
    remark = saved.out.splitlines()[-1]
    assert remark.startswith("Not checked: columns and segments")
    assert str(datetime.now(UTC).year) in remark
    refused = desk.save("refused", *dated, "--cron", "0 2 * * *")
    assert (refused.code, "--as-of today" in refused.err) == (2, True)
    for wrong in (("--list-id", NO_LIST), ("--memberships", "nowhere.parquet")):
        refused = desk.save("refused", *dated, "--as-of", "today", *wrong)
        assert refused.code == 2, refused.out
    assert set(desk.listed()) == {"history", "nightly"}


def test_exports_and_deploy_tell_why_nothing_begins(desk: Desk) -> None:
    assert desk.save("nightly", "--cron", "0 2 * * *").code == 0
    desk.do("deploy")
    workers = f"{desk.server.api_url}/work_pools/exports/workers"
    for one in desk.ask("work_pools/exports/workers/filter"):  # what other tests have left
        httpx.delete(f"{workers}/{one['name']}", timeout=120).raise_for_status()
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
    httpx.delete(f"{desk.server.api_url}/deployments/{one}", timeout=120).raise_for_status()
    told = desk.here("data-ready", "erp", "--json")
    assert told.code == 0, told.err
    assert told.document["exports"] == ["kept"]
    wait_for(lambda: desk.runs("kept"), "run of the one that is left")


def test_new_connection_reaches_the_forms_of_all_exports_however_many(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("one", "three", "two")
    for name in names:
        assert desk.save(name).code == 0
    desk.do("deploy")
    monkeypatch.setattr(form_choices, "_PAGE", 1)
    found = AsyncMock(return_value=[desk.world.connection, "newcomer"])
    monkeypatch.setattr(form_choices, "list_connections", found)
    with (
        temporary_settings({PREFECT_API_URL: desk.server.api_url}),
        get_client(sync_client=True) as client,
    ):
        form_choices.renew_connections(client)
    for name in names:
        schema = desk.deployment(name)["parameter_openapi_schema"]
        fields = schema["definitions"]["ExportRequest"]["properties"]
        assert "newcomer" in fields["connection"]["enum"], name


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--segment", "Platinum"), "Platinum"),
        (("--first-name", "Vorname"), "Vorname"),
        (("--list-id", NO_LIST), "no contact list"),
        (("--connection", "nobody"), "There is no connection"),
        (("--cron", "0 2 * *"), "has 4 fields"),
        (("--cron", "0 2 * * *", "--timezone", "Europe/Lond"), "Did you mean Europe/London?"),
    ],
    ids=["segment", "column", "list", "connection", "cron", "zone"],
)
def test_nothing_is_saved_of_an_export_that_a_run_would_refuse(
    desk: Desk, options: tuple[str, ...], told: str
) -> None:
    done = desk.save("wrong", *options)
    assert done.code == 2
    assert told in done.err
    assert len(done.err.splitlines()) == 1
    assert not desk.file.exists()
