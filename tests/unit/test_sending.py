"""The mark that a run leaves which is cut off while it sends."""

import asyncio
from pathlib import Path

import pytest

from pipeline import ContactBatch
from schemas.export import ExportRequest
from tasks import journal, sending
from tasks.journal import LOOK_EVERY_S, consult_journal
from tasks.sending import (
    LATE_SHOW_S,
    clear_mark,
    keeping_marked,
    mark_sending,
    read_cut_off_repeat,
    seconds_unsettled,
)
from tasks.session import ExportSession, Handover

pytestmark = pytest.mark.anyio
NOW = 1_700_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def session(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> ExportSession:
    monkeypatch.setattr(sending, "shared_folder", lambda: tmp_path)
    request = ExportRequest(connection="c", list_id="l", profiles="p", segments=("s",), email="e")
    begun = ExportSession(request, Handover(clock=clock), started_at=None)  # type: ignore[arg-type]  # not asked for
    begun.delivery = "0123456789ab"
    return begun


def test_delivery_that_nobody_was_sending_is_settled(session: ExportSession) -> None:
    assert seconds_unsettled(session) == 0
    clear_mark(session)


def test_mark_counts_from_when_it_was_made_last(session: ExportSession, clock: Clock) -> None:
    mark_sending(session)
    assert seconds_unsettled(session) == pytest.approx(LATE_SHOW_S)
    clock.now += 10
    assert seconds_unsettled(session) == pytest.approx(LATE_SHOW_S - 10)
    mark_sending(session)
    assert seconds_unsettled(session) == pytest.approx(LATE_SHOW_S)
    clock.now += LATE_SHOW_S + 1
    assert seconds_unsettled(session) == 0


def test_cleared_mark_is_settled_at_once(session: ExportSession) -> None:
    mark_sending(session)
    clear_mark(session)
    assert seconds_unsettled(session) == 0


async def test_clock_that_is_set_back_makes_nobody_wait_longer(
    session: ExportSession, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep(wait_s: float) -> None:
        slept.append(wait_s)
        clock.now += wait_s

    async def see_nothing(_session: ExportSession) -> list[journal.Entry]:
        return []

    monkeypatch.setattr(journal, "read_entries", see_nothing)
    session.handover = Handover(clock=clock, sleep=sleep)
    mark_sending(session)
    clock.now -= 3_600
    await consult_journal(session)
    assert LATE_SHOW_S <= sum(slept) < LATE_SHOW_S + LOOK_EVERY_S


def test_mark_tells_which_repeat_was_cut_off(session: ExportSession) -> None:
    assert read_cut_off_repeat(session) == 0
    for repeat in (12, 3):
        session.repeat = repeat
        mark_sending(session)
        assert read_cut_off_repeat(session) == repeat
    clear_mark(session)
    assert read_cut_off_repeat(session) == 0


async def test_mark_is_renewed_as_long_as_a_batch_is_on_its_way(
    session: ExportSession, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "MARK_EVERY_S", 0.001)
    mark_sending(session)
    session.waiting[1, 0] = ContactBatch(1, 0, 1, b"", "")
    async with keeping_marked(session):
        clock.now += 600  # of an upload that is repeated again and again
        await asyncio.sleep(0.2)
    assert seconds_unsettled(session) == pytest.approx(LATE_SHOW_S)
