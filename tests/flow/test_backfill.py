"""A backfill in this process: planned first, oldest first, resumable, and the newest wins."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import tasks.backfill
from constant_contact import MachinePacer
from sandbox import Fault
from schemas.export import ExportRequest
from tasks.errors import ExportRefused
from tasks.quota import DailyQuota
from tasks.quota_label import LABEL
from tests.conftest import Finished, World
from tests.waiting import ask_prefect

FIRST, LAST = "2026-03-01", "2026-03-03"


@pytest.fixture
def people(world: World) -> list[str]:
    return [f"p{n}.{world.list_id[:8]}@example.com" for n in range(3)]


@pytest.fixture
def write(people: list[str], tmp_path: Path) -> Callable[[str], Path]:
    """Write a snapshot, whose date is everybody's first name."""

    def write_one(day: str) -> Path:
        path = tmp_path / f"{day}.parquet"
        pl.DataFrame(
            {
                "CustomerId": [f"c{n}" for n in range(len(people))],
                "EMail": people,
                "FirstName": [day] * len(people),
                "Segments": [["Gold"]] * len(people),
            }
        ).write_parquet(path)
        return path

    return write_one


@pytest.fixture
def options(world: World, tmp_path: Path) -> list[str | Path]:
    return [
        "--connection", world.connection, "--list-id", world.list_id,
        "--profiles", tmp_path / "{as_of}.parquet", "--segment", "Gold", "--email", "EMail",
        "--first-name", "FirstName", "--report-dir", tmp_path / "report",
    ]  # fmt: skip


@pytest.fixture
def backfill(here: Callable[..., Finished], options: list[str | Path]) -> Callable[..., Finished]:
    def ask(*more: str, first: str = FIRST, last: str = LAST) -> Finished:
        return here("backfill", "--from", first, "--to", last, *options, *more)

    return ask


def states(done: Finished) -> list[str]:
    return [one["state"] for one in done.document["snapshots"]]


def first_names(world: World) -> set[str]:
    return {member["first_name"] for member in world.members().values()}


def uploads(world: World) -> int:
    return len(world.box.state.requests("file_import"))


def artifacts(world: World, key: str) -> list[dict[str, Any]]:
    answer = ask_prefect(
        "POST",
        f"{world.commands.env['PREFECT_API_URL']}/artifacts/filter",
        json={"artifacts": {"key": {"any_": [key]}}, "sort": "UPDATED_DESC"},
    )
    found: list[dict[str, Any]] = answer.json()
    return found


def test_backfill_delivers_each_snapshot_once_and_the_newest_wins(
    world: World,
    write: Callable[[str], Path],
    backfill: Callable[..., Finished],
    here: Callable[..., Finished],
    options: list[str | Path],
    tmp_path: Path,
) -> None:
    for day in ("2026-03-01", "2026-03-03"):
        write(day)
    before = uploads(world)
    planned = backfill("--plan", "--json")
    assert planned.code == 1, planned.err
    assert states(planned) == ["not_begun", "missing", "not_begun"]
    assert "missing: 2026-03-02" in planned.document["message"]
    assert "on one day" in planned.document["message"]
    assert [one["rows"] for one in planned.document["snapshots"]] == [3, 0, 3]
    assert uploads(world) == before

    done = backfill("--json")
    assert done.code == 1, done.err
    assert states(done) == ["delivered", "missing", "delivered"]
    assert done.document["message"].startswith("2 of 3 snapshots are delivered")
    assert uploads(world) == before + 2
    assert first_names(world) == {"2026-03-03"}
    assert (tmp_path / "report" / "2026-03-01" / "report.md").is_file()
    assert all(one["run_name"] for one in done.document["snapshots"] if one["attempts"])
    shown = artifacts(world, "backfill-status")[0]
    assert shown["description"] == done.document["message"]
    assert "example.com" not in shown["data"]

    remembered = here("backfill", "--status", "--json", *options)
    assert states(remembered) == states(done)
    assert remembered.code == 1
    assert here("backfill", "--status", "--allow-missing", *options).code == 0

    again = backfill("--json", "--allow-missing")
    assert again.code == 0, again.err
    assert states(again) == ["delivered", "missing", "delivered"]
    assert uploads(world) == before + 2

    # It comes late: the list has got the one of the day after.
    write("2026-03-02")
    late = backfill("--json")
    assert late.code == 1, late.err
    assert states(late) == ["delivered", "overtaken", "delivered"]
    assert uploads(world) == before + 2
    assert "--overwrite-newer" in late.document["message"]
    status = backfill("--status", "--json")
    assert states(status) == states(late)
    assert "the contacts of 2026-03-03" in status.document["snapshots"][1]["message"]
    useless = backfill("--plan", "--json", first="2026-03-02", last="2026-03-02")
    assert "nothing would be sent" in useless.document["message"]
    forced = backfill("--json", "--overwrite-newer")
    assert states(forced) == ["delivered"] * 3
    assert uploads(world) == before + 3
    assert first_names(world) == {"2026-03-02"}


def test_backfill_stops_at_a_failure_and_goes_on_from_there(
    world: World,
    write: Callable[[str], Path],
    backfill: Callable[..., Finished],
    here: Callable[..., Finished],
    options: list[str | Path],
) -> None:
    for day in ("2026-03-01", "2026-03-02", "2026-03-03"):
        write(day)
    before = uploads(world)
    world.box.script(Fault(operation="file_import", kind="outcome", occurrence=2, state="failed"))
    stopped = backfill("--json")
    assert stopped.code == 1
    assert states(stopped) == ["delivered", "failed", "not_begun"]
    assert "The snapshot of 2026-03-02 was not delivered" in stopped.document["message"]
    assert "Run the same backfill again" in stopped.document["message"]
    assert uploads(world) == before + 2

    status = here("backfill", "--status", "--json", *options)
    assert [one["date"] for one in status.document["snapshots"]] == [
        "2026-03-01", "2026-03-02", "2026-03-03",
    ]  # fmt: skip
    assert states(status) == ["delivered", "failed", "not_begun"]

    done = backfill("--json")
    assert done.code == 0, done.err
    assert states(done) == ["delivered"] * 3
    assert [one["attempts"] for one in done.document["snapshots"]] == [1, 2, 1]
    assert uploads(world) == before + 4
    assert first_names(world) == {"2026-03-03"}


def test_snapshot_that_was_delivered_by_itself_is_not_delivered_again(
    world: World,
    write: Callable[[str], Path],
    backfill: Callable[..., Finished],
    options: list[str | Path],
) -> None:
    write("2026-03-01")
    arguments = options[4:]
    assert world.export("--as-of", "2026-03-01", *arguments).code == 0
    planned = backfill("--plan", "--json", last="2026-03-01")
    assert states(planned) == ["delivered"]
    assert planned.document["snapshots"][0]["message"] == "Constant Contact has all of it."


def test_older_snapshot_is_refused_before_anything_is_sent_unless_told_otherwise(
    world: World,
    write: Callable[[str], Path],
    here: Callable[..., Finished],
    options: list[str | Path],
) -> None:
    write("2026-03-02")
    write("2026-03-01")
    arguments = options[4:]
    first = world.export("--as-of", "2026-03-02", *arguments)
    assert first.code == 0, first.err
    before = uploads(world)
    refused = world.export("--as-of", "2026-03-01", *arguments)
    assert refused.code == 2, refused.out
    assert refused.document["refused"] is True
    for words in ("2026-03-02", "2026-03-01", "--overwrite-newer"):
        assert words in refused.document["message"]
    planned = here("plan", "--as-of", "2026-03-01", "--json", *options)
    assert planned.code == 2
    assert planned.document["obstacle"] == refused.document["message"]
    assert uploads(world) == before
    # What is complete is not sent, and so need not be refused.
    forced = world.export("--as-of", "2026-03-01", "--overwrite-newer", *arguments)
    assert forced.code == 0, forced.err
    assert first_names(world) == {"2026-03-01"}
    assert world.export("--as-of", "2026-03-01", *arguments).document["status"] == "nothing_to_do"
    assert world.export("--as-of", "2026-03-02", *arguments).document["status"] == "nothing_to_do"


def test_run_without_a_date_counts_as_of_today(
    world: World,
    write: Callable[[str], Path],
    options: list[str | Path],
) -> None:
    today = datetime.now(UTC).date()
    yesterday = (today - timedelta(days=1)).isoformat()
    undated = write("undated")
    write(yesterday)
    arguments = options[6:]
    done = world.export("--profiles", undated, *arguments)
    assert done.code == 0, done.err
    refused = world.export("--as-of", yesterday, *options[4:])
    assert refused.code == 2
    said = refused.document["message"]
    assert f"has got the contacts of {today}, and this snapshot of {yesterday} is older" in said
    assert "A run without a snapshot date counts as of its day." in said


def test_backfill_stops_where_the_quota_of_the_day_ends(
    world: World,
    write: Callable[[str], Path],
    backfill: Callable[..., Finished],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for day in ("2026-03-01", "2026-03-02"):
        write(day)
    before = uploads(world)
    monkeypatch.setattr(MachinePacer, "used_today", lambda _pacer: 9_950)
    planned = backfill("--plan", "--json", last="2026-03-02")
    assert [one["day"] for one in planned.document["snapshots"]] == [1, 2]
    assert planned.document["requests"]["days"] == 2

    used = iter([9_950, 9_950])
    monkeypatch.setattr(MachinePacer, "used_today", lambda _pacer: next(used, 9_990))
    stopped = backfill("--json", last="2026-03-02")
    assert stopped.code == 1
    assert "The next snapshot is" in stopped.document["message"]
    assert "at 00:00 UTC" in stopped.document["message"]
    assert uploads(world) <= before + 1
    monkeypatch.undo()


def test_run_for_which_the_quota_does_not_suffice_says_so_in_its_outcome_and_to_prefect(
    world: World,
    write: Callable[[str], Path],
    options: list[str | Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write("2026-03-01")

    async def tell_nobody(_quota: DailyQuota) -> None:
        """Other tests share the API key, whose count is kept."""

    monkeypatch.setattr(DailyQuota, "publish", tell_nobody)
    monkeypatch.setattr(MachinePacer, "used_today", lambda _pacer: 9_999)
    refused = world.export("--profiles", path, *options[6:])
    monkeypatch.undo()
    assert refused.code == 2, refused.err
    assert refused.document["lacks_quota"] is True
    answer = ask_prefect(
        "POST",
        f"{world.commands.env['PREFECT_API_URL']}/flow_runs/filter",
        json={
            "flow_runs": {"start_time": {"is_null_": False}},
            "sort": "START_TIME_DESC",
            "limit": 1,
        },
    )
    assert answer.json()[0]["labels"][LABEL] is True
    done = world.export("--profiles", path, *options[6:])
    assert done.document["lacks_quota"] is False


def test_backfill_that_loses_prefect_midway_ends_with_what_is_delivered(
    world: World,
    write: Callable[[str], Path],
    backfill: Callable[..., Finished],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for day in ("2026-03-01", "2026-03-02"):
        write(day)
    before = uploads(world)
    read = tasks.backfill.read_newest

    async def lose(list_id: str, request: ExportRequest) -> date | None:
        if uploads(world) > before:
            raise ExportRefused("Prefect's API cannot tell.")
        return await read(list_id, request)

    monkeypatch.setattr(tasks.backfill, "read_newest", lose)
    done = backfill("--json", last="2026-03-02")
    assert done.code == 1, done.err
    assert states(done) == ["delivered", "not_begun"]
    assert "Prefect's API cannot tell." in done.document["message"]
    assert done.document["refused"] is False


def test_two_exports_into_one_list_do_not_overtake_one_another(
    world: World, write: Callable[[str], Path], options: list[str | Path]
) -> None:
    path = write("2026-03-01")
    undated = world.export("--profiles", path, *options[6:])
    assert undated.code == 0, undated.err
    refused = world.export("--as-of", "2026-03-01", "--again", *options[4:])
    assert refused.code == 2, refused.out
    without_names = [*options[4:10], *options[12:]]
    other = world.export("--as-of", "2026-03-01", *without_names)
    assert other.code == 0, other.err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--max-runs", "2"], "--max-runs 3"),
        (["--profiles", "fixed.parquet"], "no path holds {as_of}"),
        (["--plan", "--status"], "give one of them"),
    ],
)
def test_backfill_that_makes_no_sense_is_refused_in_one_line(
    backfill: Callable[..., Finished], more: list[str], words: str
) -> None:
    refused = backfill(*more)
    assert refused.code == 2
    assert words in refused.err
    assert len(refused.err.strip().splitlines()) == 1


def test_saved_export_that_waits_to_be_deployed_is_refused_saying_so(
    write: Callable[[str], Path],
    here: Callable[..., Finished],
    options: list[str | Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(FIRST)
    saved = here("save", "waiting", *options, "--as-of", FIRST, "--json")
    assert saved.code == 0, saved.err
    refused = here("backfill", "--export", "waiting", "--from", FIRST, "--to", LAST, "--plan")
    assert refused.code == 2
    assert "“waiting” is in prefect.yaml, but not on the Prefect server yet" in refused.err
    assert "`segment-export deploy`" in refused.err
    other = here("backfill", "--export", "elsewhere", "--from", FIRST, "--to", LAST, "--plan")
    assert "There is no saved export “elsewhere”" in other.err


def test_saved_export_that_is_not_there_is_refused_naming_it(
    here: Callable[..., Finished],
) -> None:
    refused = here("backfill", "--export", "nightly", "--from", FIRST, "--to", LAST)
    assert refused.code == 2
    assert "There is no saved export “nightly”" in refused.err
    both = here("backfill", "--export", "x", "--email", "E", "--from", FIRST, "--to", LAST)
    assert both.code == 2
    assert "leave out --email" in both.err
    neither = here("backfill", "--from", FIRST, "--to", LAST, "--email", "E")
    assert neither.code == 2
    assert "--list-id" in neither.err
