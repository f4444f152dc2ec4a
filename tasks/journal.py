"""Read back from Constant Contact what earlier runs of the same delivery got accepted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from constant_contact import Activity, WindowClosed
from pipeline import parse_batch_file_name
from tasks.locks import machine_lock
from tasks.session import ExportSession, current_session
from tasks.step import step


@dataclass(frozen=True, slots=True)
class JournalFindings:
    """How many batches of this delivery the account knows, and how many count as accepted."""

    batches_seen: int
    batches_accepted: int


@step("read-journal", run_name="Look for batches accepted earlier")
async def read_journal() -> JournalFindings:
    """Find the batches of this delivery that Constant Contact has already accepted."""
    session = current_session()
    seen: list[tuple[int, str, Activity]] = []
    async for activity in session.require_client().iter_activities():
        name = parse_batch_file_name(activity.source_file_name or "")
        if name is not None and name.delivery == session.delivery:
            seen.append((name.number, name.digest, activity))
    session.earlier_ids = frozenset(activity.activity_id for *_, activity in seen)
    if not session.request.again:
        session.accepted = _choose_accepted(seen)
    return JournalFindings(batches_seen=len(seen), batches_accepted=len(session.accepted))


def _choose_accepted(
    seen: list[tuple[int, str, Activity]],
) -> dict[tuple[int, str], Activity]:
    """Choose one activity a batch, a completed one before one that is still at work."""
    accepted: dict[tuple[int, str], Activity] = {}
    for number, digest, activity in seen:
        if activity.state.is_failed:
            continue
        known = accepted.get((number, digest))
        if known is None or (activity.state.is_finished and not known.state.is_finished):
            accepted[number, digest] = activity
    return accepted


@asynccontextmanager
async def sole_run(session: ExportSession) -> AsyncIterator[None]:
    """Let one run of a delivery at a time go on, on this machine; another finds it done then.

    Raises:
        WindowClosed: the other run took longer than this one's window.
    """

    def check_window() -> None:
        session.note(
            "Another run of the same delivery is at work on this machine; this one waits for it."
        )
        if datetime.now(UTC) >= session.deadline:
            raise WindowClosed(
                "Another run of the same delivery is still at work. Run the export again later."
            )

    async with machine_lock(f"delivery-{session.delivery}", while_waiting=check_window):
        yield
