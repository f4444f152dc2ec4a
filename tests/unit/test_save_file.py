"""One saved export changes in its file, and nothing else does."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from prefect.events import DeploymentTriggerTypes
from pydantic import TypeAdapter

from deployments.changes import DeploymentRefused
from deployments.export_editing import ExportFile, open_file, write_file
from deployments.export_entry import (
    FLOW,
    Overlap,
    Saving,
    attach,
    clear_schedules,
    detach,
    is_export,
    make_entry,
    set_active,
    set_schedule,
)
from deployments.export_file import check_text
from deployments.schedules import make_schedule
from deployments.triggers import make_trigger
from flows.export_segment import export_segment
from schemas.export import ExportRequest

ROOT = Path(__file__).parents[2]
OURS = (ROOT / "prefect.yaml").read_text(encoding="utf-8")
ENTRYPOINT = "flows/export_segment.py:export_segment"
SHARED = ("concurrency_limit", "work_pool")
REQUEST = ExportRequest(
    connection="acme",
    list_id="1",
    profiles="profiles.parquet",
    segments=("Gold", "no"),
    email="EMail",
)
CRON = make_schedule(cron="0 2 * * *", timezone="Europe/London")

# Everything that the layout of a file may be like: comments at each place, both kinds of lists,
# lists that are not indented, and an export that refers to another's parts.
ODD = """\
# at the top
name: ours   # beside
definitions:
  days: &days
  - slug: daily # every day
    cron: "0 1 * * *"

deployments:
# before the first
- name: first   # the first
  entrypoint: flows/export_segment.py:export_segment
  schedules: *days
  parameters: {request: {connection: acme, list_id: "1", profiles: p, segments: [A], email: E}}

# before the second
- name: second
  entrypoint: flows/export_segment.py:export_segment
  # inside the second
  schedules: *days
  triggers: [{expect: [x]}]   # when x
  parameters:
    request: &request
      connection: acme # whose
      list_id: '01'
      profiles: p
      segments: [yes, "no"]
      email: E

- name: third
  entrypoint: flows/other.py:other
  parameters: {copy: *request}
# the end
after: all
"""


def entries(text: str) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in yaml.safe_load(text)["deployments"]}


def others(text: str, name: str) -> dict[str, Any]:
    content = yaml.safe_load(text)
    content["deployments"] = [one for one in content["deployments"] if one["name"] != name]
    return dict(content)


def kept_lines(before: str, after: str) -> list[str]:
    """The lines of a file that a change has taken away."""
    left = after.splitlines()
    return [line for line in before.splitlines() if line.strip() and line not in left]


def entry(name: str = "new", **more: Any) -> dict[str, Any]:
    return make_entry(Saving(name=name, request=REQUEST, **more), ROOT)


@pytest.mark.parametrize("text", [OURS, ODD], ids=["ours", "odd"])
def test_new_export_adds_lines_and_changes_none(text: str) -> None:
    file = ExportFile(text)
    file.save(entry(schedule=CRON), sharing=SHARED)
    assert kept_lines(text, file.text) == []
    assert others(file.text, "new") == yaml.safe_load(text)
    assert entries(file.text)["new"] == entry(schedule=CRON)


def test_new_export_refers_to_what_the_file_shares() -> None:
    file = ExportFile(OURS)
    file.save(entry(), sharing=SHARED)
    added = file.text[len(OURS) :]
    assert "concurrency_limit: *one_at_a_time\n" in added
    assert "work_pool: *exports\n" in added
    file.save(entry("skipping", overlap=Overlap.SKIP), sharing=SHARED)
    assert entries(file.text)["skipping"]["concurrency_limit"] == {
        "limit": 1,
        "collision_strategy": "CANCEL_NEW",
    }


def test_saved_request_holds_only_what_is_no_default() -> None:
    assert set(entry()["parameters"]["request"]) == {
        "connection", "list_id", "profiles", "segments", "email",
    }  # fmt: skip


def test_file_that_is_not_there_is_made_whole(tmp_path: Path) -> None:
    path = tmp_path / "prefect.yaml"
    file = open_file(path, may_be_new=True)
    file.save(make_entry(Saving("new", REQUEST), tmp_path), sharing=SHARED)
    assert [one.name for one in check_text(file.text, path)] == ["new"]
    _, _, _, *added = file.diff(path.name).splitlines()
    assert added == [f"+{line}" for line in file.text.splitlines()]
    write_file(path, file.text)
    assert open_file(path).text == file.text


@pytest.mark.parametrize("word", ["no", "On", "1:30", "0123", "2024-01-31", "1e3", "~", "a: b"])
def test_text_is_read_by_prefect_as_it_was_given(word: str) -> None:
    request = REQUEST.model_copy(update={"segments": (word,), "newest_by": word})
    file = ExportFile(OURS)
    file.save(make_entry(Saving("new", request), ROOT))
    saved = entries(file.text)["new"]["parameters"]["request"]
    assert (saved["segments"], saved["newest_by"]) == ([word], word)


def test_pausing_is_written_down_and_resuming_takes_it_out() -> None:
    file = ExportFile(ODD)
    file.change("second", ENTRYPOINT, lambda one: set_active(one, active=False))
    paused = entries(file.text)["second"]
    assert paused["schedules"][0]["active"] is False
    assert paused["triggers"][0]["enabled"] is False
    assert others(file.text, "second") == others(ODD, "second")  # though they share a schedule
    assert "# inside the second" in file.text
    file.change("second", ENTRYPOINT, lambda one: set_active(one, active=True))
    assert yaml.safe_load(file.text) == yaml.safe_load(ODD)


@pytest.mark.parametrize("connection", ["acme", "no", "1e3", "7:30", ""])
def test_connection_is_given_back_as_prefect_reads_it(connection: str) -> None:
    for changes in ((detach,), ()):  # again, or another in its place
        file = ExportFile(OURS)
        for change in (*changes, lambda one: attach(one, connection)):
            file.change("ad-hoc", ENTRYPOINT, change)
        written = {**entries(OURS)["ad-hoc"]["parameters"]["request"], "connection": connection}
        assert entries(file.text)["ad-hoc"]["parameters"]["request"] == written
        assert others(file.text, "ad-hoc") == others(OURS, "ad-hoc")


def test_schedule_takes_the_place_of_the_one_with_its_slug() -> None:
    spec = make_schedule(cron="0 5 * * *", slug="nightly")
    file = ExportFile(OURS)
    file.change("nightly-loyalty", ENTRYPOINT, lambda one: set_schedule(one, spec))
    assert entries(file.text)["nightly-loyalty"]["schedules"] == [spec]
    file.change("nightly-loyalty", ENTRYPOINT, lambda one: set_schedule(one, CRON))
    assert entries(file.text)["nightly-loyalty"]["schedules"] == [spec, CRON]
    file.change("ad-hoc", ENTRYPOINT, lambda one: set_schedule(one, CRON))
    assert entries(file.text)["ad-hoc"]["schedules"] == [CRON]
    file.change("ad-hoc", ENTRYPOINT, clear_schedules)
    assert entries(file.text)["ad-hoc"] == entries(OURS)["ad-hoc"]


@pytest.mark.parametrize(
    ("text", "name"),
    [(OURS, "ad-hoc"), (ODD, "first"), (ODD, "second")],
    ids=["settings are another's too", "on one line", "others refer to its own"],
)
def test_detached_export_alone_loses_its_connection(text: str, name: str) -> None:
    file = ExportFile(text)
    file.change(name, ENTRYPOINT, detach)
    before = entries(text)[name]["parameters"]["request"]
    assert entries(file.text)[name]["parameters"]["request"] == {**before, "connection": ""}
    assert others(file.text, name) == others(text, name)


def test_copy_is_the_same_under_another_name() -> None:
    file = ExportFile(ODD)
    file.duplicate("second", ENTRYPOINT, "twin")
    assert entries(file.text)["twin"] == {**entries(ODD)["second"], "name": "twin"}
    assert others(file.text, "twin") == yaml.safe_load(ODD)
    assert kept_lines(ODD, file.text) == []


@pytest.mark.parametrize(("text", "name"), [(OURS, "ad-hoc"), (ODD, "first")])
def test_removed_export_takes_no_other_with_it(text: str, name: str) -> None:
    file = ExportFile(text)
    file.remove(name, ENTRYPOINT)
    assert yaml.safe_load(file.text) == others(text, name)
    assert "# before the second" in file.text or text is OURS


DASHES_ALONE = """\
name: x
deployments:
  -
    name: first
    description: |+
      kept with its empty lines


  - # the second
    name: second
    description: b
  -
    # before its name
    name: third
"""


@pytest.mark.parametrize("name", ["first", "second", "third"])
def test_export_below_a_dash_of_its_own_is_changed_and_removed(name: str) -> None:
    text = DASHES_ALONE.replace("    name:", f"    entrypoint: {ENTRYPOINT}\n    name:")
    file = ExportFile(text)
    file.change(name, ENTRYPOINT, lambda one: one.update(description="new"))
    assert entries(file.text)[name]["description"] == "new"
    assert others(file.text, name) == others(text, name)
    file.remove(name, ENTRYPOINT)
    assert yaml.safe_load(file.text) == others(text, name)
    assert ("# the second" in file.text) is (name != "second")


def test_export_that_others_refer_to_is_not_removed() -> None:
    file = ExportFile(ODD)
    with pytest.raises(DeploymentRefused, match="by its anchor"):
        file.remove("second", ENTRYPOINT)
    assert file.text == ODD


def test_last_export_can_be_removed_and_another_saved() -> None:
    file = ExportFile(OURS)
    for name in ("nightly-loyalty", "ad-hoc"):
        file.remove(name, ENTRYPOINT)
    file.remove("backfill", "flows/backfill_export.py:backfill_export")
    assert not yaml.safe_load(file.text)["deployments"]
    file.save(entry())
    assert list(entries(file.text)) == ["new"]


def test_replacing_keeps_the_place() -> None:
    file = ExportFile(OURS)
    file.save(entry("nightly-loyalty"), sharing=SHARED)
    assert list(entries(file.text)) == ["nightly-loyalty", "ad-hoc", "backfill"]
    assert entries(file.text)["nightly-loyalty"] == entry("nightly-loyalty")
    file.save(entry("nightly-loyalty"), sharing=SHARED)
    assert list(entries(file.text)) == ["nightly-loyalty", "ad-hoc", "backfill"]


def test_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(DeploymentRefused, match="nothing was changed"):
        write_file(tmp_path / "no" / "prefect.yaml", "x")


def test_written_file_keeps_its_rights_and_its_link(tmp_path: Path) -> None:
    real = tmp_path / "real.yaml"
    real.write_text("a")
    real.chmod(0o640)
    link = tmp_path / "prefect.yaml"
    link.symlink_to(real)
    write_file(link, "b")
    assert link.is_symlink()
    assert (real.read_text(), real.stat().st_mode & 0o777) == ("b", 0o640)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["prefect.yaml", "real.yaml"]


def test_file_that_somebody_has_changed_meanwhile_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "prefect.yaml"
    opened = open_file(path, may_be_new=True)
    path.write_text(OURS)
    with pytest.raises(DeploymentRefused, match=r"changed by somebody else meanwhile.*Run this"):
        write_file(path, opened.text, before=opened.before)
    assert path.read_text() == OURS
    opened = open_file(path)
    write_file(path, "b", before=opened.before)
    path.unlink()
    with pytest.raises(DeploymentRefused, match="changed by somebody else"):
        write_file(path, "c", before="b")
    assert not path.exists()


FLOW_STYLE = """\
name: ours # beside
deployments: [{name: first, entrypoint: flows/export_segment.py:export_segment,
  schedules: [{slug: daily, cron: "0 1 * * *"}],
  parameters: {request: {connection: acme, list_id: "1", profiles: p, segments: [A], email: E}}}]
after: all
"""


@pytest.mark.parametrize(
    "text",
    [
        "name: ours # beside\n",
        "name: ours # beside",
        "name: ours # beside\ndeployments: []\nafter: all\n",
        "name: ours # beside\ndeployments: # none\nafter: all\n",
        FLOW_STYLE,
        "# beside\n{name: ours, deployments: []}\n",
        "# beside\n{name: ours}\n",
    ],
    ids=["no list", "no last line end", "empty", "nothing", "on one line", "braces", "in braces"],
)
def test_export_is_saved_in_whatever_way_the_list_is_written(text: str) -> None:
    before = yaml.safe_load(text)
    file = ExportFile(text)
    file.save(entry(), sharing=SHARED)
    after = yaml.safe_load(file.text)
    assert after == {**before, "deployments": [*(before.get("deployments") or []), entry()]}
    assert "# beside" in file.text
    again = ExportFile(file.text)
    again.save(entry("second"), sharing=SHARED)
    assert list(entries(again.text))[-2:] == ["new", "second"]
    again.remove("second", ENTRYPOINT)
    assert yaml.safe_load(again.text) == after


def test_export_on_one_line_is_changed_copied_and_removed() -> None:
    first = entries(FLOW_STYLE)["first"]
    file = ExportFile(FLOW_STYLE)
    file.change("first", ENTRYPOINT, lambda one: set_active(one, active=False))
    assert entries(file.text)["first"]["schedules"][0]["active"] is False
    file = ExportFile(FLOW_STYLE)
    file.duplicate("first", ENTRYPOINT, "twin")
    assert list(entries(file.text).values()) == [first, {**first, "name": "twin"}]
    file = ExportFile(FLOW_STYLE)
    file.remove("first", ENTRYPOINT)
    assert yaml.safe_load(file.text) == {"name": "ours", "deployments": None, "after": "all"}


@pytest.mark.parametrize(
    "text", ["- a", "deployments: [", "deployments: {a: b}", "deployments: [a]"]
)
def test_file_that_is_none_of_exports_is_refused(text: str) -> None:
    with pytest.raises(DeploymentRefused):
        ExportFile(text)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({}, "one of --cron, --interval and --rrule"),
        ({"cron": "0 2 * * *", "interval": "PT1H"}, "one of --cron, --interval and --rrule"),
        ({"cron": "0 2 * *"}, r"^--cron: “0 2 \* \*” has 4 fields and cron takes five \(minute, "),
        ({"cron": "0 25 * * *"}, "says 25 for the hour, .* is every night at two"),
        ({"cron": "0 2 * * *", "timezone": "Europe/Berln"}, r"Did you mean Europe/Berlin\?$"),
        ({"interval": "PT6H", "timezone": "new york"}, r"Did you mean America/New_York\?$"),
        ({"rrule": "FREQ=DAILY", "timezone": "Mars"}, "^--timezone: .* called like Europe/London"),
        ({"interval": "soon"}, "^--interval: “soon” is no duration .* PT6H is six hours"),
        ({"interval": "0h"}, "^--interval: .* PT6H is six hours"),
        ({"rrule": "FREQ=SOMETIMES"}, "^--rrule: “FREQ=SOMETIMES” is no iCalendar rule; FREQ="),
    ],
)
def test_schedule_that_is_none_is_refused(spec: dict[str, str], told: str) -> None:
    with pytest.raises(DeploymentRefused, match=told) as refusal:
        make_schedule(**spec)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("said", "written"),
    [("6h", "PT6H"), ("30m", "PT30M"), ("90 min", "PT90M"), ("1d", "P1D"), ("PT6H", "PT6H")],
)
def test_interval_may_be_said_in_short(said: str, written: str) -> None:
    assert make_schedule(interval=said)["interval"] == written


def test_interval_does_not_move_with_each_deploy() -> None:
    assert "anchor_date" in make_schedule(interval="PT6H")


def test_only_entries_of_the_export_flow_are_exports() -> None:
    assert export_segment.name == FLOW
    assert is_export({"name": "a", "entrypoint": ENTRYPOINT})
    assert is_export({"name": "a", "entrypoint": "flows.export_segment.export_segment"})
    assert not is_export({"name": "a", "entrypoint": "flows/backfill_export.py:backfill_export"})
    assert not is_export({"entrypoint": ENTRYPOINT})


@pytest.mark.parametrize(
    ("given", "expect", "match"),
    [
        ({"data": "crm"}, ["segment-export.data-ready"],
         {"prefect.resource.id": "segment-export.data.crm"}),
        ({"event": "crm.loaded"}, ["crm.loaded"], None),
        ({"data": "crm", "event": "loaded"}, ["loaded"],
         {"prefect.resource.id": "segment-export.data.crm"}),
    ],
)  # fmt: skip
def test_trigger_waits_for_the_event_that_was_named(
    given: dict[str, str], expect: list[str], match: dict[str, str] | None
) -> None:
    trigger = make_trigger("nightly", **given)
    assert (trigger["expect"], trigger.get("match")) == (expect, match)


def test_paused_trigger_is_deployed_switched_off() -> None:
    trigger = TypeAdapter(DeploymentTriggerTypes).validate_python(
        {**make_trigger("nightly", data="crm"), "enabled": False}
    )
    trigger.set_deployment_id(uuid4())
    assert trigger.as_automation().enabled is False


def test_export_whose_schedules_prefect_fills_in_is_left_as_it_is() -> None:
    text = OURS.replace("    work_pool: *exports\n", "    triggers: ['{{ a }}']\n", 1)
    file = ExportFile(text)
    file.change("nightly-loyalty", ENTRYPOINT, lambda one: set_active(one, active=False))
    assert entries(file.text)["nightly-loyalty"]["triggers"] == ["{{ a }}"]
