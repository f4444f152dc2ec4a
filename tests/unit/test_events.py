"""Which events a run emits, decided from what it has reached."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import pytest

from schemas.export import ExportRequest
from schemas.outcome import BatchOutcome, BatchState, Counts, ExportOutcome, RequestCounts, Status
from tasks.events import EVENTS, OUTCOME_KEYS, RunEvent, list_ends, list_stages
from tasks.history import ExportPast, PastRun, RunResult
from tasks.session import ExportSession, new_session

if TYPE_CHECKING:
    from pipeline import Prepared

MOMENT = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass
class Verdicts:
    profiles_in_segment: int = 10
    sent: int = 7
    rejected: int = 2
    duplicates: int = 1


@dataclass
class PreparedContacts:
    """As much of a preparation as events tell of."""

    verdicts: Verdicts = field(default_factory=Verdicts)


@pytest.fixture
def session() -> Iterator[ExportSession]:
    request = ExportRequest(
        connection="c", list_id="l", profiles="p", segments=("Gold",), email="EMail"
    )
    with new_session(request) as begun:
        yield begun


def prepare(session: ExportSession) -> None:
    session.prepared = cast("Prepared", PreparedContacts())
    session.delivery = "0123456789ab"


def batch(state: BatchState, activity_id: str | None = "act") -> BatchOutcome:
    return BatchOutcome(
        file_name="f", rows=7, bytes=1, state=state, activity_id=activity_id, person_count=7
    )


def test_stages_are_told_as_they_are_reached(session: ExportSession) -> None:
    assert list(list_stages(session)) == [RunEvent.STARTED]
    prepare(session)
    session.batches[(1, 0)] = batch(BatchState.NOT_SENT, activity_id=None)
    assert list(list_stages(session)) == [RunEvent.STARTED, RunEvent.PREPARED]
    session.batches[(1, 0)] = batch(BatchState.PROCESSING)
    assert list(list_stages(session))[2:] == [RunEvent.UPLOADING]
    session.batches[(1, 0)] = batch(BatchState.COMPLETED)
    assert list(list_stages(session))[2:] == [RunEvent.UPLOADING], "more may be cut"
    session.all_cut = True
    assert list_stages(session) == {
        RunEvent.STARTED: {},
        RunEvent.PREPARED: {
            "profiles_in_segment": 10, "sent": 7, "rejected": 2, "duplicates": 1,
        },
        RunEvent.UPLOADING: {"sent": 7},
        RunEvent.IMPORTED: {"batches": 1, "imported": 7},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("result", "before", "events"),
    [
        (RunResult.DELIVERED, None, [RunEvent.DELIVERED]),
        (RunResult.DELIVERED, RunResult.DELIVERED, [RunEvent.DELIVERED]),
        (RunResult.DELIVERED, RunResult.CRASHED, [RunEvent.DELIVERED, RunEvent.RECOVERED]),
        (RunResult.DELIVERED, RunResult.DEGRADED, [RunEvent.DELIVERED, RunEvent.RECOVERED]),
        (RunResult.DEGRADED, RunResult.FAILED, [RunEvent.DEGRADED]),
        (RunResult.INCOMPLETE, None, [RunEvent.FAILED]),
        (RunResult.FAILED, RunResult.FAILED, [RunEvent.FAILED]),
        (RunResult.STOPPED, RunResult.FAILED, [RunEvent.STOPPED]),
        (RunResult.DELIVERED, RunResult.STOPPED, [RunEvent.DELIVERED]),
    ],
)
def test_every_run_ends_with_one_event_and_perhaps_its_recovery(
    session: ExportSession, result: RunResult, before: RunResult | None, events: list[RunEvent]
) -> None:
    runs = () if before is None else (PastRun(ended="", result=before),)
    session.past = ExportPast("gold", "run", runs)
    outcome = ExportOutcome(
        status=Status.COMPLETED, message="It went well.", delivery="d", list_id="l",
        started_at=MOMENT, finished_at=MOMENT, counts=Counts(sent=7), requests=RequestCounts(),
    )  # fmt: skip
    ends = list_ends(session, outcome, result)
    assert list(ends) == events
    assert tuple(ends[events[0]]) == OUTCOME_KEYS
    assert all(told["message"] == "It went well." and told["sent"] == 7 for told in ends.values())


def test_degraded_is_not_told_again_for_a_run_that_had_nothing_to_do(
    session: ExportSession,
) -> None:
    before = PastRun(ended="", result=RunResult.DEGRADED, rejected=3)
    session.past = ExportPast("gold", "run", (before,))
    outcome = ExportOutcome(
        status=Status.NOTHING_TO_DO, message="m", delivery="d", list_id="l",
        started_at=MOMENT, finished_at=MOMENT, counts=Counts(sent=7, rejected=3),
        requests=RequestCounts(),
    )  # fmt: skip
    ends = list_ends(session, outcome, RunResult.DEGRADED)
    assert list(ends) == [RunEvent.DELIVERED]
    assert ends[RunEvent.DELIVERED]["result"] == "degraded"


def test_every_event_is_in_the_reference() -> None:
    assert list(EVENTS) == list(RunEvent)
