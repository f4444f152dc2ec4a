"""Saved exports from their first line to their last: file, server, worker and sandbox are real."""

from datetime import UTC, datetime
from unittest.mock import AsyncMock

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments import form_choices
from tests.e2e.desk import Desk
from tests.waiting import ask_prefect

NO_LIST = "0b9ecbcd-2d52-4ffa-ba0b-1d0c0d8d3a5b"


def check_form(desk: Desk, name: str) -> None:
    """The form offers what there is, and refuses in words what is not."""
    deployment = desk.deployment(name)
    fields = deployment["parameter_openapi_schema"]["definitions"]["ExportRequest"]["properties"]
    assert desk.world.connection in fields["connection"]["enum"]
    assert "there were: Gold, Silver." in fields["segments"]["description"]
    saved = deployment["parameters"]["request"]
    answer = ask_prefect(
        "POST",
        f"{desk.server.api_url}/deployments/{deployment['id']}/create_flow_run",
        json={"parameters": {"request": {**saved, "connection": "nobody"}}},
    )
    assert answer.status_code == 409
    assert "is not one of" in answer.json()["detail"]
    right = {"request": {**saved, "segments": ["Silver"]}}
    run = desk.ask(f"deployments/{deployment['id']}/create_flow_run", parameters=right)
    ask_prefect("DELETE", f"{desk.server.api_url}/flow_runs/{run['id']}").raise_for_status()


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
