"""Read back from Constant Contact what earlier runs of the same delivery got accepted."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from constant_contact import Activity, WindowClosed
from pipeline import BatchName, parse_batch_file_name
from pipeline.outcome import Stop
from schemas.outcome import BatchState
from tasks.batches import cut_as_accepted, describe_batch, longest_csv_bytes
from tasks.locks import sole_lock
from tasks.sending import clear_mark, seconds_unsettled
from tasks.session import ExportSession, current_session
from tasks.step import step

LOOK_EVERY_S = 3.0

TAKEN_OVER = Stop(
    "This run was paused for so long that another machine has taken over the delivery.",
    can_continue=True,
)

Entry = tuple[BatchName, Activity]


@dataclass(frozen=True, slots=True)
class JournalFindings:
    """How many batches of this delivery the account knows, and how many count as accepted."""

    batches_seen: int
    batches_accepted: int


@step("read-journal", run_name="Look for batches accepted earlier")
async def read_journal() -> JournalFindings:
    """Find the batches of this delivery that Constant Contact has already accepted.

    New jobs may show late, so that after a run that was cut off while sending it looks again.
    """
    return await consult_journal(current_session())


async def consult_journal(session: ExportSession) -> JournalFindings:
    """Find what is accepted of a delivery, and which repeat of it is to be sent."""
    seen = await read_entries(session)
    while (wait_s := seconds_unsettled(session)) > 0:
        session.note(
            "An earlier run was cut off while it was sending: what it got accepted may show late, "
            "so this one looks again before it sends."
        )
        await session.handover.sleep(min(wait_s, LOOK_EVERY_S))
        seen = await read_entries(session)
    take_over(session, seen)
    if session.request.again and session.accepted and await is_complete(session):
        session.repeat += 1
        session.accepted = {}
    return JournalFindings(batches_seen=len(seen), batches_accepted=len(session.accepted))


async def read_entries(session: ExportSession) -> list[Entry]:
    """Read all activities of the account and keep those that carry a name of this delivery."""
    return [
        (name, activity)
        async for activity in session.require_client().iter_activities()
        if (name := parse_batch_file_name(activity.source_file_name or "")) is not None
        and name.delivery == session.delivery
    ]


def take_over(session: ExportSession, seen: Sequence[Entry]) -> None:
    """Go on with the latest repeat of the delivery that anything was accepted of."""
    session.repeat = max((name.repeat for name, a in seen if not a.state.is_failed), default=0)
    entries = [(name, a) for name, a in seen if name.repeat == session.repeat]
    session.earlier_ids = frozenset(activity.activity_id for _, activity in entries)
    session.accepted = _choose_accepted(entries)


def _choose_accepted(entries: Sequence[Entry]) -> dict[tuple[int, str], Activity]:
    """Choose one activity a batch, a completed one before one that is still at work."""
    accepted: dict[tuple[int, str], Activity] = {}
    for name, activity in entries:
        if activity.state.is_failed:
            continue
        known = accepted.get((name.number, name.digest))
        if known is None or (activity.state.is_finished and not known.state.is_finished):
            accepted[name.number, name.digest] = activity
    return accepted


async def is_complete(session: ExportSession) -> bool:
    """Tell whether every batch of the delivery is accepted, without sending any."""
    return await asyncio.to_thread(_is_complete, session)


def _is_complete(session: ExportSession) -> bool:
    for batch in session.require_prepared().iter_batches(longest_csv_bytes(session)):
        parts = cut_as_accepted(session, batch)
        for part in parts:
            _, activity = describe_batch(session, part)
            # A single contact between parts that were taken is one that was refused.
            if activity is None and (part.rows > 1 or len(parts) == 1):
                return False
    return True


@asynccontextmanager
async def sole_run(session: ExportSession) -> AsyncIterator[None]:
    """Let one run of a delivery at a time go on; another waits and finds it done.

    That holds over the processes of a machine, and over all machines that share a Prefect server.

    Raises:
        WindowClosed: the other run took longer than this one's window.
    """

    def check_window(holder: str) -> None:
        session.note(f"Another run of the same delivery is at work ({holder}); this one waits.")
        if session.now() >= session.deadline:
            raise WindowClosed(
                f"Another run of the same delivery is still at work ({holder}). Run the export "
                "again later."
            )

    def stop() -> None:
        session.stop = session.stop or TAKEN_OVER

    async with sole_lock(
        f"delivery-{session.delivery}",
        while_waiting=check_window,
        on_lost=stop,
        on_trouble=session.note,
    ) as session.lease:
        try:
            yield
        finally:
            if all(batch.state is not BatchState.UNKNOWN for batch in session.batches.values()):
                clear_mark(session)
