"""Wait until Constant Contact has imported what was uploaded."""

from dataclasses import dataclass

from constant_contact import Activity, ConstantContactError, Trouble, wait_for_activities
from pipeline.outcome import Stop
from schemas.outcome import BatchState
from tasks.batches import note_named_lines, update_batch
from tasks.counters import ask_for_counters
from tasks.session import ExportSession, Progress, Stage, current_session
from tasks.step import step
from tasks.stops import explain_stop

NO_ECHO_NOTE = (
    "Constant Contact does not echo file names, so that batches of an interrupted run cannot be "
    "recognised: they are sent again, which updates the same contacts."
)
UNCOUNTED_NOTE = (
    "Constant Contact did not say how many contacts it took from some batches, so that could not "
    "be compared with what was sent."
)


@dataclass(frozen=True, slots=True)
class ImportFindings:
    """How many imports have ended, and how many are still under way at the window's end."""

    finished: int
    pending: int


@step("wait-for-imports", run_name="Wait for the imports to finish")
async def wait_for_imports() -> ImportFindings:
    """Poll all imports with one request a round until they are done or the window ends."""
    session = current_session()
    trouble: Trouble | None = None
    key_by_id = {
        batch.activity_id: key
        for key, batch in session.batches.items()
        if batch.activity_id is not None and batch.state.is_pending
    }

    def note_change(activity: Activity) -> None:
        key = key_by_id[activity.activity_id]
        batch = session.batches[key] = update_batch(session.batches[key], activity)
        note_named_lines(session, key, activity)
        if activity.source_file_name != batch.file_name:
            session.note(NO_ECHO_NOTE)
        _tell_progress(session)

    def note_gone(activity_id: str) -> None:
        number, _ = key_by_id[activity_id]
        session.stop = session.stop or Stop(
            f"Constant Contact does not know activity {activity_id} of batch {number} any more.",
            can_continue=True,
        )

    def note_trouble(found: Trouble | None) -> None:
        nonlocal trouble
        trouble = found

    if key_by_id:
        session.has_waited = True
        _tell_progress(session)
        try:
            await wait_for_activities(
                session.require_client(),
                key_by_id,
                deadline=session.deadline.timestamp(),
                on_change=note_change,
                on_gone=note_gone,
                on_trouble=note_trouble,
                clock=session.handover.clock,
                sleep=session.handover.sleep,
            )
        except ConstantContactError as error:
            session.stop = session.stop or explain_stop(error)
    if session.stop is None:
        await _ask_for_missing_counters(session)
    states = [batch.state for batch in session.batches.values()]
    pending = sum(state.is_pending for state in states)
    if pending and session.stop is None:
        ended = f"The {session.request.window_minutes:g}-minute window has ended."
        why = trouble.describe(session.handover.clock()) if trouble else ""
        session.stop = Stop(f"{ended} {why}".strip(), can_continue=True)
    return ImportFindings(
        finished=sum(state is BatchState.COMPLETED or state.is_lost for state in states),
        pending=pending,
    )


async def _ask_for_missing_counters(session: ExportSession) -> None:
    """Ask for single activities: no field is promised, and the collection may show fewer."""
    for key, batch in session.batches.items():
        if batch.state is not BatchState.COMPLETED or batch.person_count is not None:
            continue
        if (activity := await ask_for_counters(session, str(batch.activity_id))) is not None:
            session.batches[key] = update_batch(batch, activity)
            note_named_lines(session, key, activity)
        if session.batches[key].person_count is None:
            session.note(UNCOUNTED_NOTE)


def _tell_progress(session: ExportSession) -> None:
    batches = [batch for batch in session.batches.values() if batch.activity_id is not None]
    ended = sum(batch.rows for batch in batches if not batch.state.is_pending)
    session.tell(Progress(Stage.IMPORT, ended, sum(batch.rows for batch in batches), "contacts"))
