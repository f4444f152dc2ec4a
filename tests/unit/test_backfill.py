"""What a backfill decides without Prefect or Constant Contact: dates, days, order, and words."""

import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
import pytest
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.utilities.callables import parameter_schema
from pydantic import ValidationError

from cli.backfill import BackfillOptions
from cli.errors import CommandRefused
from constant_contact import QuotaExceeded
from flows.backfill_export import backfill_export
from pipeline import MappingInvalid, find_snapshot, iter_dates, prepare
from schemas.backfill import BackfillRequest, BackfillStatus, Snapshot, SnapshotRange, SnapshotState
from schemas.export import AttributeMapping, ExportRequest
from tasks import backfill as backfill_module
from tasks.backfill import Backfill, choose_next, conclude_backfill, note_end, note_stopped
from tasks.backfill_plan import _judge, _require_folder, expect_requests, list_dates
from tasks.backfill_records import Attempt, judge_attempts, list_known_dates, tag_range, tag_run
from tasks.backfill_runs import _parameters
from tasks.errors import BackfillRefused, QuotaTooSmall
from tasks.newest_mark import mark_name, phrase_overtaken
from tasks.quota import spread_over_days
from tasks.session import new_session
from tasks.stops import explain_stop

NOON = datetime(2026, 3, 9, 12, tzinfo=UTC)
TEMPLATE: dict[str, Any] = {
    "connection": "c", "list_id": "l", "profiles": "{as_of}.parquet", "segments": ["Gold"],
    "segments_column": "Segments", "email": "EMail",
}  # fmt: skip


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def asked(first: str = "2026-03-01", last: str = "2026-03-03", **more: Any) -> SnapshotRange:
    return SnapshotRange(first_date=first, last_date=last, **more)


def backfill_of(*states: SnapshotState, **more: Any) -> Backfill:
    days = [f"2026-03-{day:02}" for day in range(1, len(states) + 1)]
    return Backfill(
        asked(**more),
        ExportRequest(**TEMPLATE),
        snapshots=[
            Snapshot(date=day, state=state, requests=36, day=1)
            for day, state in zip(days, states, strict=True)
        ],
        list_id="l",
        list_name="List",
    )


@pytest.mark.parametrize(
    ("first", "last", "every", "dates"),
    [
        ("2026-02-27", "2026-03-01", "day", ["2026-02-27", "2026-02-28", "2026-03-01"]),
        ("2026-03-01", "2026-03-01", "day", ["2026-03-01"]),
        ("2026-03-01", "2026-03-16", "week", ["2026-03-01", "2026-03-08", "2026-03-15"]),
        (
            "2025-11-30", "2026-03-31", "month",
            ["2025-11-30", "2025-12-30", "2026-01-30", "2026-02-28", "2026-03-30"],
        ),
        ("2024-01-31", "2024-02-29", "month", ["2024-01-31", "2024-02-29"]),
        ("9999-12-30", "9999-12-31", "day", ["9999-12-30", "9999-12-31"]),
        ("9999-12-28", "9999-12-31", "week", ["9999-12-28"]),
        ("9999-11-30", "9999-12-31", "month", ["9999-11-30", "9999-12-30"]),
    ],
)  # fmt: skip
def test_dates_of_a_range_are_counted_from_its_first(
    first: str, last: str, every: str, dates: list[str]
) -> None:
    assert [one.isoformat() for one in iter_dates(asked(first, last, every=every))] == dates


@pytest.mark.parametrize(
    "wrong",
    [
        {"first_date": "2026-13-01"}, {"first_date": "1.3.2026"}, {"last_date": "2026-02-01"},
        {"every": "year"}, {"max_runs": 0}, {"export": ""}, {"exports": "x"},
    ],
)  # fmt: skip
def test_request_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    good = {"export": "nightly", "first_date": "2026-03-01", "last_date": "2026-03-02"}
    BackfillRequest.model_validate(good)
    with pytest.raises(ValidationError):
        BackfillRequest.model_validate({**good, **wrong})


def test_run_form_explains_every_field_in_its_order_and_has_no_empty_choice() -> None:
    schema = parameter_schema(backfill_export.fn).model_dump_for_openapi()
    fields = schema["definitions"]["BackfillRequest"]["properties"]
    assert sorted(field["position"] for field in fields.values()) == list(range(len(fields)))
    assert fields["export"]["position"] == 0
    for name, field in fields.items():
        assert field["title"], name
        assert field["description"], name
        assert "anyOf" not in field, name


@pytest.mark.parametrize(
    ("needs", "used", "days"),
    [
        ([36, 36], 0, [1, 1]),
        ([36, 36], 9_950, [1, 2]),
        ([36], 9_990, [2]),
        ([6_000, 6_000, 3_000], 0, [1, 2, 2]),
        ([], 0, []),
        ([20_000, 36], 0, [2, 3]),
    ],
)
def test_snapshots_are_spread_over_as_many_days_as_the_quota_needs(
    needs: list[int], used: int, days: list[int]
) -> None:
    assert spread_over_days(needs, used=used, daily=10_000) == days


def test_every_end_for_lack_of_quota_is_told_from_others() -> None:
    for lack in (QuotaTooSmall("Any words."), QuotaExceeded("Any words.")):
        assert explain_stop(lack).is_for_quota
    assert not explain_stop(BackfillRefused("The quota returns at 00:00 UTC.")).is_for_quota


def test_more_snapshots_than_allowed_are_refused_with_the_option_that_allows_them() -> None:
    wide = Backfill(asked("2026-01-01", "2026-12-31"), ExportRequest(**TEMPLATE))
    with pytest.raises(BackfillRefused, match=r"365 snapshots.*at most 31.*--max-runs 365"):
        list_dates(wide)
    allowed = Backfill(asked("2026-01-01", "2026-12-31", max_runs=365), wide.template)
    assert len(list_dates(allowed)) == 365


def test_identity_is_the_exports_and_not_the_ranges() -> None:
    template = ExportRequest(**TEMPLATE)
    one = Backfill(asked(), template, export="a")
    for same in (
        Backfill(asked("2026-04-01", "2026-04-02"), template, export="a"),
        Backfill(asked(), template.model_copy(update={"as_of": "2026-03-01"}), export="a"),
        Backfill(asked(overwrite_newer=True), template, export="a"),
    ):
        assert same.backfill_id == one.backfill_id
    for other in (
        Backfill(asked(), template, export="b"),
        Backfill(asked(), template.model_copy(update={"list_id": "m"}), export="a"),
    ):
        assert other.backfill_id != one.backfill_id


def attempt(delivery: str, state: StateType) -> Attempt:
    return Attempt("2026-03-01", delivery, "id", "name", state, "message")


DONE, FAILED, CRASHED = StateType.COMPLETED, StateType.FAILED, StateType.CRASHED
RUNNING, SCHEDULED = StateType.RUNNING, StateType.SCHEDULED


@pytest.mark.parametrize(
    ("runs", "delivery", "runs_elsewhere", "state"),
    [
        ([], "d", True, SnapshotState.NOT_BEGUN),
        ([("d", DONE)], "d", True, SnapshotState.DELIVERED),
        ([("d", DONE)], "", True, SnapshotState.DELIVERED),
        ([("d", DONE), ("d", FAILED)], "d", True, SnapshotState.DELIVERED),
        ([("older files", DONE)], "d", True, SnapshotState.NOT_BEGUN),
        ([("d", CRASHED)], "d", True, SnapshotState.FAILED),
        ([("d", CRASHED), ("d", SCHEDULED)], "d", True, SnapshotState.UNDER_WAY),
        ([("d", RUNNING)], "d", True, SnapshotState.UNDER_WAY),
        ([("d", RUNNING)], "d", False, SnapshotState.FAILED),
    ],
)
def test_snapshot_stands_where_its_runs_say(
    runs: list[tuple[str, StateType]], delivery: str, runs_elsewhere: bool, state: SnapshotState
) -> None:
    attempts = [attempt(*one) for one in runs]
    found, _ = judge_attempts(attempts, delivery, runs_elsewhere=runs_elsewhere)
    assert found is state


@pytest.mark.anyio
async def test_snapshot_whose_run_goes_on_is_under_way_though_its_files_are_gone(
    tmp_path: Path,
) -> None:
    backfill = Backfill(asked(), ExportRequest(**TEMPLATE), runs_elsewhere=True, folder=tmp_path)
    finding = find_snapshot(backfill.dated("2026-03-01"))
    assert finding.is_missing
    with new_session(backfill.dated("2026-03-01")) as session:
        running = await _judge(backfill, session, finding, {}, [attempt("d", RUNNING)])
        crashed = await _judge(backfill, session, finding, {}, [attempt("d", CRASHED)])
    assert running.state is SnapshotState.UNDER_WAY
    assert (running.run_id, running.attempts) == ("id", 1)
    assert crashed.state is SnapshotState.MISSING


@pytest.mark.anyio
async def test_next_snapshot_is_the_oldest_that_is_due_and_not_overtaken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def newest(_list_id: str, _request: ExportRequest) -> date:
        return date(2026, 3, 3)

    monkeypatch.setattr(backfill_module, "read_newest", newest)
    states = [
        SnapshotState.DELIVERED, SnapshotState.NOT_BEGUN, SnapshotState.FAILED,
        SnapshotState.MISSING, SnapshotState.NOT_BEGUN,
    ]  # fmt: skip
    backfill = backfill_of(*states)
    chosen = []
    while (snapshot := await choose_next(backfill, now=lambda: NOON)) is not None:
        chosen.append(snapshot.date)
        delivered = {"state": SnapshotState.DELIVERED}
        note_end(backfill, snapshot.model_copy(update=delivered))
    assert chosen == ["2026-03-03", "2026-03-05"]
    outcome = conclude_backfill(backfill)
    assert [one.state.value for one in outcome.snapshots] == [
        "delivered", "overtaken", "delivered", "missing", "delivered",
    ]  # fmt: skip
    assert outcome.status is BackfillStatus.INCOMPLETE
    assert "missing: 2026-03-04" in outcome.message


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("keep_going", "lacks_quota", "chosen"), [(False, False, 1), (True, False, 3), (True, True, 1)]
)
async def test_next_begins_after_a_failure_only_where_told_and_never_without_quota(
    monkeypatch: pytest.MonkeyPatch, keep_going: bool, lacks_quota: bool, chosen: int
) -> None:
    async def newest(_list_id: str, _request: ExportRequest) -> None:
        return None

    monkeypatch.setattr(backfill_module, "read_newest", newest)
    backfill = backfill_of(*[SnapshotState.NOT_BEGUN] * 3, keep_going=keep_going)
    count = 0
    while (snapshot := await choose_next(backfill, now=lambda: NOON)) is not None:
        count += 1
        failed = {"state": SnapshotState.FAILED, "message": "Over.", "lacks_quota": lacks_quota}
        note_end(backfill, snapshot.model_copy(update=failed))
    assert count == chosen
    outcome = conclude_backfill(backfill)
    assert not outcome.ended_well
    assert ("Run the same backfill again" in outcome.message) is (chosen == 1)


def test_range_of_which_no_snapshot_is_there_has_not_been_delivered() -> None:
    nothing = [SnapshotState.MISSING] * 2
    outcome = conclude_backfill(backfill_of(*nothing, allow_missing=True))
    assert outcome.status is BackfillStatus.INCOMPLETE
    assert not outcome.ended_well


@pytest.mark.parametrize(
    ("profiles", "is_refused"),
    [("{as_of}.parquet", True), ("/data/{as_of}.parquet", False), ("s3://b/{as_of}", False)],
)
def test_snapshots_in_a_folder_of_another_machine_are_not_taken_for_missing(
    tmp_path: Path, profiles: str, is_refused: bool
) -> None:
    template = ExportRequest(**{**TEMPLATE, "profiles": profiles})
    backfill = Backfill(asked(), template, export="nightly", folder=tmp_path / "elsewhere")
    if is_refused:
        with pytest.raises(BackfillRefused, match=r"elsewhere, which is not on this machine"):
            _require_folder(backfill)
    else:
        _require_folder(backfill)
    backfill.folder = tmp_path
    _require_folder(backfill)


def test_what_a_backfill_of_a_worker_waits_for_is_in_its_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO", "segment_export"):
        backfill_of().listener.on_note("The run nightly of the same export goes first.")
    assert "goes first" in caplog.text


@pytest.mark.parametrize(("allow_missing", "ended_well"), [(True, True), (False, False)])
def test_missing_snapshot_counts_against_a_backfill_unless_allowed(
    allow_missing: bool, ended_well: bool
) -> None:
    backfill = backfill_of(
        SnapshotState.DELIVERED, SnapshotState.MISSING, allow_missing=allow_missing
    )
    outcome = conclude_backfill(backfill)
    assert outcome.ended_well is ended_well
    assert outcome.message == (
        "1 of 2 snapshots are delivered to list “List”; missing: 2026-03-02."
    )


def test_backfill_that_left_all_out_as_overtaken_is_incomplete_and_says_the_way_out() -> None:
    outcome = conclude_backfill(backfill_of(*[SnapshotState.OVERTAKEN] * 2))
    assert outcome.status is BackfillStatus.INCOMPLETE
    assert "--overwrite-newer" in outcome.message
    delivered = backfill_of(SnapshotState.DELIVERED)
    assert conclude_backfill(delivered).status is BackfillStatus.COMPLETED


def test_stopped_backfill_says_what_is_delivered_and_what_goes_on() -> None:
    states = [SnapshotState.DELIVERED, SnapshotState.UNDER_WAY, SnapshotState.NOT_BEGUN]
    backfill = backfill_of(*states)
    backfill.settle(backfill.snapshots[1].model_copy(update={"run_name": "Gold 2026-03-02"}))
    note_stopped(backfill)
    outcome = conclude_backfill(backfill)
    assert outcome.status is BackfillStatus.INCOMPLETE
    assert outcome.message == (
        "1 of 3 snapshots are delivered to list “List”. The backfill was stopped; its run "
        "Gold 2026-03-02 is a worker's, and goes on. Run the same backfill again to go on."
    )
    between = backfill_of(SnapshotState.DELIVERED, SnapshotState.NOT_BEGUN)
    note_stopped(between)
    assert "The backfill was stopped. Run" in conclude_backfill(between).message


def test_backfill_that_is_stopped_before_its_plan_has_not_ended_well() -> None:
    backfill = backfill_of()
    note_stopped(backfill)
    outcome = conclude_backfill(backfill)
    assert (outcome.status, outcome.refused) == (BackfillStatus.INCOMPLETE, False)
    assert outcome.message.startswith("The backfill was stopped before it sent anything.")


def test_backfill_that_has_delivered_all_is_not_stopped_any_more() -> None:
    backfill = backfill_of(SnapshotState.DELIVERED)
    note_stopped(backfill)
    assert not backfill.was_stopped
    assert conclude_backfill(backfill).ended_well


def test_plan_says_how_many_would_go_and_on_how_many_days() -> None:
    backfill = backfill_of(*[SnapshotState.NOT_BEGUN] * 2)
    plan = conclude_backfill(backfill, is_plan=True)
    assert plan.status is BackfillStatus.PLANNED
    assert plan.message == (
        "0 of 2 snapshots are delivered to list “List”; 2 would be, from 2026-03-01 to "
        "2026-03-02, in about 72 requests on one day."
    )


def test_runs_of_a_saved_export_get_its_settings_but_for_what_the_backfill_decides() -> None:
    template = ExportRequest(**TEMPLATE, again=True, as_of="2020-01-01", report_dir="reports")
    snapshot = Snapshot(date="2026-03-01", state=SnapshotState.NOT_BEGUN)
    kept = {**TEMPLATE, "as_of": "2026-03-01", "report_dir": "reports/2026-03-01"}
    parameters = _parameters(Backfill(asked(), template), snapshot)
    assert parameters == kept
    ExportRequest.model_validate(parameters)
    forced = _parameters(Backfill(asked(overwrite_newer=True), template), snapshot)
    assert forced == {**kept, "overwrite_newer": True}


def test_relative_paths_begin_in_the_saved_exports_folder() -> None:
    backfill = Backfill(asked(), ExportRequest(**TEMPLATE), folder=Path("/data"))
    assert backfill.dated("2026-03-01").profiles == "/data/{as_of}.parquet"
    url = ExportRequest(**{**TEMPLATE, "profiles": "s3://b/{as_of}"})
    assert Backfill(asked(), url, folder=Path("/data")).dated("2026-03-01").profiles == url.profiles


def test_snapshot_is_found_missing_or_unreadable_and_has_the_delivery_of_its_run(
    tmp_path: Path,
) -> None:
    frame = pl.DataFrame({"CustomerId": ["a"], "EMail": ["a@example.com"], "Segments": [["Gold"]]})
    frame.write_parquet(tmp_path / "2026-03-01.parquet")
    (tmp_path / "2026-03-03.parquet").write_bytes(b"PAR1")
    frame.drop("EMail").write_parquet(tmp_path / "2026-03-04.parquet")
    backfill = Backfill(asked(), ExportRequest(**TEMPLATE), folder=tmp_path)
    there, missing, damaged, lacking = (
        find_snapshot(backfill.dated(f"2026-03-0{day}")) for day in range(1, 5)
    )
    assert there.source is not None
    assert there.source.most_contacts == 1
    prepared = prepare(backfill.dated("2026-03-01"))
    assert there.source.delivery("list") == prepared.delivery("list")
    assert missing.is_missing
    assert not damaged.is_missing
    assert "damaged" in damaged.trouble
    assert "EMail" in lacking.trouble
    with pytest.raises(MappingInvalid, match="no path holds"):
        find_snapshot(ExportRequest(**{**TEMPLATE, "profiles": "p", "as_of": "2026-03-01"}))


def test_request_estimate_grows_with_the_batches() -> None:
    assert expect_requests(0) == 36
    assert expect_requests(39_999) == 37
    assert expect_requests(1_000_000) == 62


def test_run_is_found_again_by_its_tags() -> None:
    assert tag_run("0123", "2026-03-01", "abcd") == [
        "backfill", "backfill:0123", "snapshot:2026-03-01:abcd",
    ]  # fmt: skip


def test_ranges_that_were_run_are_known_again_with_what_was_left_out_of_them() -> None:
    def run(*tags: str) -> FlowRun:
        return FlowRun(flow_id=uuid4(), tags=[*tags])

    week = tag_range(asked("2026-03-01", "2026-03-15", every="week"))
    snapshots = [
        run(*tag_run("0123", "2026-03-08", "abcd"), week),
        run(*tag_run("0123", "2026-02-01", "abcd"), "range:2026-99-01:2026-03-01:day"),
    ]
    attempts = {one.date: [one] for found in snapshots if (one := Attempt.read(found))}
    assert list_known_dates(attempts) == ("2026-02-01", "2026-03-01", "2026-03-08", "2026-03-15")
    assert list_known_dates({}) == ()


def test_refusal_of_an_older_snapshot_names_both_dates_and_the_way_out() -> None:
    said = phrase_overtaken("List", ours=date(2026, 3, 1), newest=date(2026, 3, 2))
    assert "2026-03-02" in said
    assert "2026-03-01" in said
    assert "--overwrite-newer" in said


def test_mark_is_of_the_list_and_of_what_is_exported_but_not_of_where_the_data_lie() -> None:
    template = ExportRequest(**TEMPLATE | {"segments": ["Gold", "Silver"]})
    mark = mark_name("3DD5/x", template)
    assert re.fullmatch("segment-export-newest-3dd5-x-[0-9a-f]{12}", mark)
    for same in (
        {"segments": ("Silver", "Gold")}, {"profiles": "elsewhere.parquet"}, {"connection": "d"},
        {"as_of": "2026-03-01"}, {"name": "another"}, {"memberships": "m"},
    ):  # fmt: skip
        assert mark_name("3DD5/x", template.model_copy(update=same)) == mark, same
    attribute = AttributeMapping(column="City", heading="city")
    for other in (
        {"segments": ("Gold",)}, {"email": "Mail"}, {"first_name": "F"}, {"last_name": "L"},
        {"attributes": (attribute,)}, {"customer_id": "Id"},
    ):  # fmt: skip
        assert mark_name("3DD5/x", template.model_copy(update=other)) != mark, other
    assert mark_name("4", template) != mark


@pytest.mark.parametrize(
    ("first", "last", "option"),
    [
        ("", "2026-03-01", "--from: give a date"),
        ("2026-03-01", "", "--to: give a date"),
        ("2026-03-32", "2026-04-01", "--from: "),
        ("2026-03-02", "2026-03-01", "--to: the range ends before it begins"),
    ],
)
def test_range_that_makes_no_sense_is_refused_naming_the_option(
    first: str, last: str, option: str
) -> None:
    options = BackfillOptions(
        first_date=first,
        last_date=last,
        every="day",
        keep_going=False,
        allow_missing=False,
        overwrite_newer=False,
        max_runs=31,
        plan_only=False,
        status_only=False,
    )
    with pytest.raises(CommandRefused, match=option):
        options.build_range()
