"""Which activity of an earlier run stands for a batch, if any."""

from datetime import UTC, datetime
from itertools import permutations

import pytest

from constant_contact import Activity, ActivityCounters, ActivityState
from pipeline import BatchName, ContactBatch
from schemas.export import ExportRequest
from schemas.outcome import BatchState
from tasks.batches import describe_batch
from tasks.journal import take_over
from tasks.session import ExportSession, Handover

DIGEST = "a" * 12
BATCH = ContactBatch(number=1, first=0, rows=10, body=b"", digest=DIGEST)

FULL = Activity("full", ActivityState.COMPLETED, counters=ActivityCounters(person=10))
SHORT = Activity("short", ActivityState.COMPLETED, counters=ActivityCounters(person=6))
# Three rows of ten were never read, and five people are unsubscribed: the three could be of them.
CUT_OFF = Activity(
    "cut off",
    ActivityState.COMPLETED,
    counters=ActivityCounters(items_total=8, person=7, cannot_add_to_list=5),
)
AT_WORK = Activity("at work", ActivityState.PROCESSING)
FAILED = Activity("failed", ActivityState.FAILED)


def name(*, number: int = 1, digest: str = DIGEST, repeat: int = 0) -> BatchName:
    return BatchName("gold", "0" * 12, number, digest, repeat)


def session_after(*entries: tuple[BatchName, Activity]) -> ExportSession:
    request = ExportRequest(connection="c", list_id="l", profiles="p", segments=("s",), email="e")
    session = ExportSession(request, Handover(), datetime.now(UTC), delivery="0" * 12)
    session.earlier_name = "gold"
    take_over(session, entries)
    return session


@pytest.mark.parametrize(
    ("activities", "chosen"),
    [
        ([], None),
        ([FAILED], None),
        ([SHORT], None),
        ([CUT_OFF], None),
        ([FULL], "full"),
        ([AT_WORK], "at work"),
        ([SHORT, FULL], "full"),
        ([SHORT, AT_WORK], "at work"),
        ([FULL, AT_WORK, SHORT, FAILED], "full"),
    ],
)
def test_complete_import_goes_before_one_at_work_and_a_short_one_does_not_count(
    activities: list[Activity], chosen: str | None
) -> None:
    for ordered in permutations(activities):
        session = session_after(*((name(), activity) for activity in ordered))
        outcome, activity = describe_batch(session, BATCH)
        assert (activity.activity_id if activity else None) == chosen
        assert outcome.already_accepted is (chosen is not None)
        if chosen is None:
            assert (outcome.state, outcome.activity_id) == (BatchState.NOT_SENT, None)


def test_latest_repeat_is_gone_on_with() -> None:
    session = session_after((name(), FULL), (name(number=2, repeat=1), AT_WORK))
    assert session.repeat == 1
    assert describe_batch(session, BATCH)[1] is None
    assert session.earlier_ids == {"at work"}


def test_repeat_that_only_failed_is_to_be_sent_once_more() -> None:
    session = session_after((name(), FULL), (name(repeat=1), FAILED))
    assert session.repeat == 1
    assert describe_batch(session, BATCH)[1] is None
    assert session.earlier_ids == {"failed"}
