"""What `segment-export exports` says and refuses where there is a file and no server."""

import io
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.settings import PREFECT_API_URL, temporary_settings

from cli.data_ready import tell_data_ready
from cli.errors import CommandRefused
from cli.exports import show_exports
from cli.exports_attach import attach_saved
from cli.exports_changes import (
    detach_saved,
    duplicate_saved,
    remove_saved,
    schedule_export,
    set_export_pause,
)
from cli.near_names import suggest_names
from cli.save import edit_file
from deployments.changes import DeploymentRefused
from deployments.export_entry import Saving, list_switches
from schemas.export import ExportRequest

ROOT = Path(__file__).parents[2]
NO_SPEC = {"cron": "", "interval": "", "rrule": "", "timezone": "", "slug": ""}
NIGHTLY = "nightly-loyalty"


@pytest.fixture(autouse=True)
def no_server() -> Iterator[None]:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "flows").symlink_to(ROOT / "flows")
    return Path(shutil.copy(ROOT / "prefect.yaml", tmp_path))


def listed(file: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    capsys.readouterr()
    show_exports(file, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["server"] is None
    return {one["name"]: one for one in document["exports"]}


def test_file_is_listed_and_nothing_said_of_the_server(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exports = listed(file, capsys)
    assert exports[NIGHTLY]["runs"] == ["0 2 * * * (UTC)"]
    assert exports["ad-hoc"]["runs"] == []
    assert {one["on_server"] for one in exports.values()} == {None}
    assert {one["connection"] for one in exports.values()} == {"sandbox"}


def test_each_change_shows_its_diff_and_is_in_the_file(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_export_pause(NIGHTLY, file, active=False, as_json=False)
    assert "+        active: false" in capsys.readouterr().out
    assert listed(file, capsys)[NIGHTLY]["paused"]
    schedule_export(NIGHTLY, file, spec={**NO_SPEC, "cron": "0 4 * * *"}, clear=False, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert '+        cron: "0 4 * * *"' in document["diff"]
    # the only one there is, and still paused
    assert listed(file, capsys)[NIGHTLY]["runs"] == ["0 4 * * * (UTC, off)"]
    detach_saved("ad-hoc", file, as_json=True)
    exports = listed(file, capsys)
    assert (exports["ad-hoc"]["connection"], exports[NIGHTLY]["connection"]) == ("", "sandbox")
    duplicate_saved("ad-hoc", "twin", file, as_json=True)
    remove_saved("ad-hoc", file, asks=False, as_json=True)
    schedule_export(NIGHTLY, file, spec=NO_SPEC, clear=True, as_json=True)
    exports = listed(file, capsys)
    assert list(exports) == [NIGHTLY, "twin"]
    assert exports[NIGHTLY]["runs"] == []


def test_schedule_that_is_changed_stays_in_its_time_zone_unless_another_is_given(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for spec, runs in (
        ({"cron": "0 3 * * *", "timezone": "Europe/London"}, "0 3 * * * (Europe/London)"),
        ({"cron": "0 4 * * *"}, "0 4 * * * (Europe/London)"),
        ({"cron": "0 4 * * *", "timezone": "UTC"}, "0 4 * * * (UTC)"),
    ):
        schedule_export(NIGHTLY, file, spec={**NO_SPEC, **spec}, clear=False, as_json=True)
        assert listed(file, capsys)[NIGHTLY]["runs"] == [runs]


def test_nobody_to_ask_is_told_before_anything_else(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(CommandRefused, match=f"give --yes if {NIGHTLY} is to be removed"):
        remove_saved(NIGHTLY, file, asks=True, as_json=False)
    assert capsys.readouterr().out == ""


def test_doing_it_again_changes_nothing(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    set_export_pause(NIGHTLY, file, active=False, as_json=True)
    capsys.readouterr()
    set_export_pause(NIGHTLY, file, active=False, as_json=True)
    assert json.loads(capsys.readouterr().out)["diff"] == ""


def test_resuming_is_written_down_where_no_server_hears_of_it(file: Path) -> None:
    for active in (False, True):
        set_export_pause(NIGHTLY, file, active=active, as_json=True)
    (schedule,) = yaml.safe_load(file.read_text())["deployments"][0]["schedules"]
    assert schedule["active"] is True  # without a word Prefect would keep it switched off


def test_export_that_the_file_pauses_as_a_whole_is_told_as_such_and_resumed(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = f"- name: {NIGHTLY}\n"
    file.write_text(file.read_text().replace(named, f"{named}    paused: true\n"))
    assert listed(file, capsys)[NIGHTLY]["paused"]
    set_export_pause(NIGHTLY, file, active=True, as_json=True)
    assert yaml.safe_load(file.read_text())["deployments"][0]["paused"] is False
    assert not listed(file, capsys)[NIGHTLY]["paused"]


@pytest.mark.parametrize("is_paused", [True, False])
@pytest.mark.parametrize("as_a_whole", [True, False])
def test_export_that_is_saved_anew_stays_paused(
    file: Path, is_paused: bool, as_a_whole: bool
) -> None:
    if is_paused and as_a_whole:
        named = f"- name: {NIGHTLY}\n"
        file.write_text(file.read_text().replace(named, f"{named}    paused: true\n"))
    elif is_paused:
        set_export_pause(NIGHTLY, file, active=False, as_json=True)
    request = ExportRequest(
        connection="acme", list_id="1", profiles="p", segments=("B",), email="E"
    )
    schedule = {"slug": "regular", "cron": "0 3 * * *", "timezone": "UTC"}
    trigger = {"type": "event", "expect": ["x"], "posture": "Reactive"}
    saving = Saving(NIGHTLY, request, schedule=schedule, trigger=trigger)
    edited = edit_file(saving, file, replace=True)
    (entry,) = (one for one in edited.entries() if one["name"] == NIGHTLY)
    assert list_switches(entry) == ([False, False] if is_paused else [None, None])


def test_new_schedule_of_a_paused_export_is_off_and_said_to_be(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noon = {**NO_SPEC, "cron": "0 12 * * *", "slug": "noon"}
    six = {**NO_SPEC, "interval": "6h", "slug": "six"}
    set_export_pause(NIGHTLY, file, active=False, as_json=True)
    schedule_export(NIGHTLY, file, spec=noon, clear=False, as_json=False)
    told = capsys.readouterr().out.splitlines()[-1]
    assert "the schedule noon: 0 12 * * * (UTC, off). It is off; `" in told
    assert f"exports resume {NIGHTLY}` switches on" in told
    schedule_export(NIGHTLY, file, spec=six, clear=False, as_json=True)
    export = listed(file, capsys)[NIGHTLY]
    assert export["runs"] == ["0 2 * * * (UTC, off)", "0 12 * * * (UTC, off)", "every PT6H (off)"]
    assert export["paused"]


def test_new_schedule_beside_one_that_is_on_is_on_and_what_is_off_is_marked(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noon = {**NO_SPEC, "cron": "0 12 * * *", "slug": "noon"}
    schedule_export(NIGHTLY, file, spec=noon, clear=False, as_json=True)
    off = file.read_text().replace('cron: "0 2 * * *"', 'cron: "0 2 * * *"\n        active: false')
    after = "    triggers:\n      - {type: event, expect: [x], posture: Reactive, enabled: false}\n"
    file.write_text(off.replace("    parameters:", f"{after}    parameters:", 1))
    export = listed(file, capsys)[NIGHTLY]
    assert export["runs"] == ["0 2 * * * (UTC, off)", "0 12 * * * (UTC)", "after x (off)"]
    assert not export["paused"]


@pytest.mark.parametrize("name", ["Nightly Loyalty", "nightly.loyalty", "NIGHTLY_loyalty"])
def test_name_whose_history_is_anothers_is_refused(file: Path, name: str) -> None:
    before = file.read_text()
    request = ExportRequest(
        connection="acme", list_id="1", profiles="p", segments=("A",), email="E"
    )
    told = f"export {name}: it would share its history with {NIGHTLY}"
    with pytest.raises(CommandRefused, match=told):
        duplicate_saved("ad-hoc", name, file, as_json=True)
    with pytest.raises(DeploymentRefused, match=told):
        edit_file(Saving(name, request), file, replace=True)
    assert file.read_text() == before


def test_entries_of_other_flows_are_no_exports(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = yaml.safe_load(file.read_text())
    backfill = {
        **content["deployments"][1],
        "name": "replay",
        "entrypoint": "flows/backfill_export.py:backfill_export",
        "parameters": {},
    }
    content["deployments"].append(backfill)
    file.write_text(yaml.safe_dump(content))
    assert "replay" not in listed(file, capsys)
    with pytest.raises(CommandRefused, match="There is no export replay"):
        remove_saved("replay", file, asks=False, as_json=True)


def test_what_makes_no_sense_is_refused_and_the_file_stays(file: Path) -> None:
    before = file.read_text()
    with pytest.raises(CommandRefused, match="Did you mean nightly-loyalty"):
        set_export_pause("nightly-loyalti", file, active=False, as_json=True)
    with pytest.raises(CommandRefused, match="neither schedule nor trigger"):
        set_export_pause("ad-hoc", file, active=False, as_json=True)
    with pytest.raises(CommandRefused, match="give it alone"):
        schedule_export(
            NIGHTLY, file, spec={**NO_SPEC, "cron": "0 4 * * *"}, clear=True, as_json=True
        )
    with pytest.raises(CommandRefused, match="one of --cron"):
        schedule_export(NIGHTLY, file, spec=NO_SPEC, clear=False, as_json=True)
    with pytest.raises(CommandRefused, match="already"):
        duplicate_saved("ad-hoc", NIGHTLY, file, as_json=True)
    with pytest.raises(CommandRefused, match="no name for an export"):
        duplicate_saved("ad-hoc", "a/b", file, as_json=True)
    with pytest.raises(CommandRefused, match="give --yes"):
        remove_saved("ad-hoc", file, asks=True, as_json=True)
    assert file.read_text() == before


def test_near_name_that_is_in_file_and_on_the_server_is_suggested_once() -> None:
    assert suggest_names("nightli", ["nightly", "ad-hoc", "nightly"]) == "Did you mean nightly?"
    assert suggest_names("else", ["nightly", "ad-hoc", "nightly"]) == "There are: nightly, ad-hoc."
    assert suggest_names("else", []) == ""


def test_connection_is_given_back_to_an_export_only_where_it_is_named(file: Path) -> None:
    before = file.read_text()
    with pytest.raises(CommandRefused, match="name the connection"):
        attach_saved("ad-hoc", " ", file, as_json=True)
    with pytest.raises(CommandRefused, match="Did you mean ad-hoc"):
        attach_saved("ad-hok", "sandbox", file, as_json=True)
    assert file.read_text() == before


def test_export_is_one_line_in_a_pipe_however_long(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "n" * 100
    duplicate_saved("ad-hoc", name, file, as_json=True)
    rrule = "FREQ=MONTHLY;BYMONTHDAY=" + ",".join(map(str, range(1, 29)))
    schedule_export(name, file, spec={**NO_SPEC, "rrule": rrule}, clear=False, as_json=True)
    capsys.readouterr()
    show_exports(file, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["export", NIGHTLY, "ad-hoc", name]
    assert f"{rrule} (UTC)" in lines[-1]


def test_several_schedules_need_a_slug(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noon = {**NO_SPEC, "cron": "0 12 * * *"}
    schedule_export(NIGHTLY, file, spec={**noon, "slug": "noon"}, clear=False, as_json=True)
    assert len(listed(file, capsys)[NIGHTLY]["runs"]) == 2
    with pytest.raises(CommandRefused, match=r"--slug .*\(nightly, noon\)"):
        schedule_export(NIGHTLY, file, spec=noon, clear=False, as_json=True)


def test_missing_file_is_refused_saying_where_to_go(tmp_path: Path) -> None:
    with pytest.raises(CommandRefused, match="--file"):
        show_exports(tmp_path / "prefect.yaml", as_json=True)


@pytest.mark.parametrize(
    ("name", "told"),
    [(NIGHTLY, "--replace"), ("a/b", "no name for an export"), ("", "no name for an export")],
)
def test_name_that_is_taken_or_none_is_refused(file: Path, name: str, told: str) -> None:
    request = ExportRequest(
        connection="acme", list_id="1", profiles="p", segments=("A",), email="E"
    )
    with pytest.raises(DeploymentRefused, match=told):
        edit_file(Saving(name, request), file, replace=False)
    edit_file(Saving(NIGHTLY, request), file, replace=True)


def test_data_is_announced_only_to_a_server_and_under_a_name() -> None:
    with pytest.raises(CommandRefused, match="no Prefect server to tell"):
        tell_data_ready("crm", as_json=True)
    with pytest.raises(CommandRefused, match="no name for data"):
        tell_data_ready("crm of today", as_json=True)
