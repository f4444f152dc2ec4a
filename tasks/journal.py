"""Read back from Constant Contact what earlier runs of the same delivery got accepted."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from constant_contact import Activity, ActivityState, WindowClosed
from pipeline import BatchName, parse_batch_file_name
from pipeline.outcome import Stop
from schemas.outcome import BatchOutcome
from schemas.plan import PlannedBatch
from tasks.counters import ask_for_counters
from tasks.locks import sole_lock
from tasks.sending import LATE_SHOW_S, clear_mark, read_cut_off_repeat, seconds_unsettled
from tasks.session import ExportSession, current_session
from tasks.step import step

LOOK_EVERY_S = 3.0

TAKEN_OVER = Stop(
    "Another machine is at work on this delivery: it took over while this run was paused, or could "
    "not ask Prefect's API for its turn.",
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


async def consult_journal(session: ExportSession, *, is_to_send: bool = True) -> JournalFindings:
    """Find what is accepted of a delivery, and which repeat of it is to be sent."""
    session.cut_off_repeat = read_cut_off_repeat(session)
    seen = await read_entries(session)
    waited_s = 0.0  # the clock may be set back meanwhile
    while is_to_send and waited_s < LATE_SHOW_S and (left_s := seconds_unsettled(session)) > 0:
        session.note(
            "An earlier run was cut off while it was sending: what it got accepted may show late, "
            "so this one looks again before it sends."
        )
        pause_s = min(left_s, LOOK_EVERY_S)
        await session.handover.sleep(pause_s)
        waited_s += pause_s
        seen = await read_entries(session)
    take_over(session, [(name, await _count(session, activity)) for name, activity in seen])
    session.has_read_journal = True
    return JournalFindings(batches_seen=len(seen), batches_accepted=len(session.accepted))


async def read_entries(session: ExportSession) -> list[Entry]:
    """Read all activities of the account and keep those that carry a name of this delivery."""
    return [
        (name, activity)
        async for activity in session.require_client().iter_activities()
        if (name := parse_batch_file_name(activity.source_file_name or "")) is not None
        and name.delivery == session.delivery
    ]


async def _count(session: ExportSession, activity: Activity) -> Activity:
    """Ask for the counters of an import that the collection leaves out: it may have lost rows."""
    if activity.state is ActivityState.COMPLETED and activity.counters.person is None:
        return await ask_for_counters(session, activity.activity_id) or activity
    return activity


def take_over(session: ExportSession, seen: Sequence[Entry]) -> None:
    """Go on with the latest repeat of the delivery, be it that all of it has failed."""
    counted = [(name, activity) for name, activity in seen if not activity.state.is_failed]
    session.repeat = max((name.repeat for name, _ in seen), default=0)
    session.earlier_ids = frozenset(
        activity.activity_id for name, activity in seen if name.repeat == session.repeat
    )
    session.accepted = {}
    for name, activity in counted:
        if name.repeat == session.repeat:
            session.accepted.setdefault((name.number, name.digest), []).append(activity)
            session.earlier_name = name.export


def begin_repeat(session: ExportSession) -> bool:
    """Prepare to send a delivery once more if that is asked for and nothing of it was missing."""
    if session.stop is not None or not is_to_repeat(session, session.batches.values()):
        return False
    leave_behind(session)
    session.batches.clear()
    session.named_lines.clear()
    session.one_line_each.clear()
    session.refused.clear()
    return True


def is_complete(batches: Collection[BatchOutcome | PlannedBatch]) -> bool:
    """Say whether earlier runs have got a whole delivery in.

    One that is still being imported may be a repeat that was cut off: it is to be waited for. Of a
    state that nobody knows there may be no end.
    """
    return bool(batches) and all(
        batch.already_accepted and not batch.state.is_under_way for batch in batches
    )


def is_to_repeat(session: ExportSession, batches: Collection[BatchOutcome | PlannedBatch]) -> bool:
    """Say whether a complete delivery is to be sent once more, as was asked for.

    Where a run that was doing so was cut off, and all that it sent has arrived, it is done.
    """
    if not (session.request.again and is_complete(batches)):
        return False
    if session.repeat and session.repeat == session.cut_off_repeat:
        session.note(
            "An earlier run with --again was cut off, and all of it has arrived since: it is not "
            "sent once more. That would take another run with --again."
        )
        return False
    return True


def leave_behind(session: ExportSession) -> None:
    """Turn from what is accepted of a delivery to the next repeat of it, of which nothing is."""
    session.repeat += 1
    session.accepted = {}
    session.earlier_ids = frozenset()
    session.earlier_name = ""


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
            # An import that is not seen to have ended need not be shown yet to whoever comes next.
            is_shown = not any(batch.state.is_pending for batch in session.batches.values())
            if session.has_read_journal and is_shown:
                clear_mark(session)
