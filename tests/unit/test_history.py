"""What a run came to, and how it compares with the runs before it."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType

from schemas.export import ExportRequest
from schemas.outcome import Counts, ExportOutcome, RequestCounts, Status
from tasks.history import (
    ExportPast,
    PastRun,
    RunResult,
    has_recovered,
    is_known_degraded,
    judge_outcome,
    read_past,
    to_past_run,
    with_unrecorded,
)

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def outcome_of(status: Status, **counts: int) -> ExportOutcome:
    return ExportOutcome(
        status=status,
        message="m",
        delivery="d",
        list_id="l",
        started_at=MOMENT,
        finished_at=MOMENT + timedelta(seconds=61),
        counts=Counts(**counts),
        requests=RequestCounts(total=12),
    )


@pytest.mark.parametrize(
    ("status", "counts", "result"),
    [
        (Status.COMPLETED, {"profiles_in_segment": 100}, "delivered"),
        (Status.NOTHING_TO_DO, {}, "delivered"),
        (Status.COMPLETED_WITH_REJECTS, {"profiles_in_segment": 100, "rejected": 5}, "delivered"),
        (Status.COMPLETED_WITH_REJECTS, {"profiles_in_segment": 100, "rejected": 6}, "degraded"),
        (
            Status.COMPLETED_WITH_REJECTS,
            {"profiles_in_segment": 100, "rejected": 4, "api_errors": 1, "api_correctable": 1},
            "degraded",
        ),
        (
            Status.COMPLETED_WITH_REJECTS,
            {"profiles_in_segment": 100, "duplicates": 50, "cannot_add_to_list": 40},
            "delivered",
        ),
        (Status.INCOMPLETE, {"profiles_in_segment": 100, "rejected": 90}, "incomplete"),
        (Status.FAILED, {}, "failed"),
    ],
)
def test_run_is_degraded_when_more_than_the_limit_did_not_arrive(
    status: Status, counts: dict[str, int], result: str
) -> None:
    """Duplicates arrive once, and unsubscribed people do not want it: neither is a fault."""
    assert judge_outcome(outcome_of(status, **counts), warn_rejects_percent=5) == result


def test_limit_of_zero_takes_every_reject_for_too_many() -> None:
    outcome = outcome_of(Status.COMPLETED_WITH_REJECTS, profiles_in_segment=1_000_000, rejected=1)
    assert judge_outcome(outcome, warn_rejects_percent=0) is RunResult.DEGRADED


@pytest.mark.parametrize("before", list(RunResult))
@pytest.mark.parametrize("result", list(RunResult))
def test_run_has_recovered_when_it_is_well_and_the_one_before_was_not(
    before: RunResult, result: RunResult
) -> None:
    was_well = before in {RunResult.DELIVERED, RunResult.STOPPED}
    is_better = result is RunResult.DELIVERED and not was_well
    assert has_recovered(result, PastRun(ended="", result=before)) is is_better


@pytest.mark.parametrize(
    ("status", "before", "rejected_before", "is_known"),
    [
        (Status.NOTHING_TO_DO, RunResult.DEGRADED, 9, True),
        (Status.NOTHING_TO_DO, RunResult.DEGRADED, 8, False),
        (Status.COMPLETED_WITH_REJECTS, RunResult.DEGRADED, 9, False),
        (Status.NOTHING_TO_DO, RunResult.CRASHED, None, False),  # which told of no rejects
        (Status.NOTHING_TO_DO, RunResult.DELIVERED, 9, False),  # under another limit
    ],
)
def test_degraded_run_is_known_when_nothing_new_was_judged(
    status: Status, before: RunResult, rejected_before: int | None, is_known: bool
) -> None:
    outcome = outcome_of(status, profiles_in_segment=100, rejected=9)
    past = PastRun(ended="", result=before, rejected=rejected_before)
    assert is_known_degraded(outcome, RunResult.DEGRADED, past) is is_known
    assert not is_known_degraded(outcome, RunResult.DELIVERED, past)
    assert not is_known_degraded(outcome, RunResult.DEGRADED, None)


@pytest.mark.parametrize(
    ("status", "result"),
    [(Status.INCOMPLETE, "stopped"), (Status.FAILED, "stopped"), (Status.COMPLETED, "delivered")],
)
def test_run_that_was_stopped_is_neither_well_nor_ill_unless_it_was_done(
    status: Status, result: str
) -> None:
    assert judge_outcome(outcome_of(status), warn_rejects_percent=5, was_stopped=True) == result


def test_stopped_run_is_passed_over_in_judging_the_export() -> None:
    stopped = PastRun(ended="", result=RunResult.STOPPED, run="stopped")
    failed = PastRun(ended="", result=RunResult.FAILED, run="failed")
    assert ExportPast("gold", runs=(stopped, failed)).last_judged is failed
    assert ExportPast("gold", runs=(stopped, failed)).last is stopped
    assert ExportPast("gold", runs=(stopped,)).last_judged is None


def test_first_run_has_nothing_to_recover_from() -> None:
    assert has_recovered(RunResult.DELIVERED, ExportPast("new").last) is False


def test_line_of_the_history_holds_the_counts() -> None:
    outcome = outcome_of(
        Status.COMPLETED, profiles_in_segment=9, sent=5, rejected=3, duplicates=1, imported=4
    )
    assert to_past_run(outcome, RunResult.DELIVERED, run_id="r") == PastRun(
        ended="2026-01-02 03:05 UTC",
        result=RunResult.DELIVERED,
        sent=5,
        rejected=3,
        duplicates=1,
        imported=4,
        requests=12,
        seconds=61,
        run="r",
    )


def ended_run(run_id: UUID, kind: StateType) -> FlowRun:
    return FlowRun(id=run_id, flow_id=uuid4(), state=State(type=kind), end_time=MOMENT)


@pytest.mark.parametrize(
    ("kind", "result"), [(StateType.CRASHED, "crashed"), (StateType.FAILED, "failed")]
)
def test_run_that_died_is_put_on_top_of_the_history(kind: StateType, result: str) -> None:
    run_id, older = uuid4(), PastRun(ended="", result=RunResult.DELIVERED, run="older")
    dead, kept = with_unrecorded((older,), ended_run(run_id, kind))
    assert kept is older
    assert dead == PastRun(ended="2026-01-02 03:04 UTC", result=RunResult(result), run=str(run_id))


def test_stopped_run_has_died_where_people_were_told_so() -> None:
    run_id, older = uuid4(), PastRun(ended="", result=RunResult.DELIVERED, run="older")
    stopped = PastRun(ended="", result=RunResult.STOPPED, sent=5, run=str(run_id))
    killed, kept = with_unrecorded((stopped, older), ended_run(run_id, StateType.CRASHED))
    assert killed == stopped.model_copy(update={"result": RunResult.CRASHED})
    assert kept is older


def test_run_that_is_recorded_or_ended_well_is_not_put_there_again() -> None:
    run_id = uuid4()
    runs = (PastRun(ended="", result=RunResult.FAILED, run=str(run_id)),)
    assert with_unrecorded(runs, ended_run(run_id, StateType.FAILED)) == runs
    assert with_unrecorded(runs, ended_run(uuid4(), StateType.COMPLETED)) == runs
    assert with_unrecorded(runs, None) == runs


def test_export_outside_of_a_flow_run_has_its_own_name_and_no_past() -> None:
    request = ExportRequest(
        connection="c", list_id="l", profiles="p", segments=("Gold", "VIP+"), email="EMail"
    )
    past = asyncio.run(read_past(request))
    assert re.fullmatch("gold-vip-[0-9a-f]{8}", past.slug)
    assert past == ExportPast(past.slug)
    elsewhere = request.model_copy(update={"list_id": "another"})
    assert asyncio.run(read_past(elsewhere)).slug not in {past.slug, ""}
    named = request.model_copy(update={"name": "Loyal Ones"})
    assert asyncio.run(read_past(named)) == ExportPast("loyal-ones")
