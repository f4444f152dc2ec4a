"""Upload the batches of an export, a few at a time, while later ones are still being made."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from constant_contact import (
    REQUEST_LIMIT_BYTES,
    Activity,
    OutcomeUnknown,
    RequestRefused,
    framing_bytes,
)
from pipeline import ContactBatch, PipelineError, batch_file_name
from schemas.outcome import BatchOutcome, BatchState
from tasks.session import ExportSession, Progress, Stage, current_session
from tasks.step import name_defect, step
from tasks.stops import EXPORT_ERRORS, explain_stop

MOST_UPLOADS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class BatchTicket:
    """A batch without its contacts: what the Prefect UI may show of it."""

    number: int
    rows: int
    file_name: str


@dataclass(frozen=True, slots=True)
class UploadReceipt:
    """The activity that a batch became."""

    activity_id: str
    state: str


@step("upload-batch", run_name="Upload batch {ticket.number} · {ticket.rows:,} contacts")
async def upload_batch(ticket: BatchTicket) -> UploadReceipt:
    """Send one batch to Constant Contact and note the activity that imports it."""
    session = current_session()
    receipt = await session.require_client().import_file(
        file_name=ticket.file_name,
        body=session.waiting_bodies[ticket.number],
        list_ids=[session.list_id],
        known_ids=session.earlier_ids,
    )
    session.batches[ticket.number] = update_batch(session.batches[ticket.number], receipt.activity)
    return UploadReceipt(receipt.activity.activity_id, receipt.activity.state.value)


async def upload_batches() -> None:
    """Upload every batch that is not accepted yet; what fails is noted, and the others go on.

    One batch is made while at most `MOST_UPLOADS_AT_ONCE` are under way, so that memory does not
    grow with the segment. After an error that concerns them all, the rest is only listed.
    """
    session = current_session()
    slots = asyncio.Semaphore(MOST_UPLOADS_AT_ONCE)
    made = session.require_prepared().iter_batches(_longest_csv_bytes(session))
    async with asyncio.TaskGroup() as uploads:
        while (batch := await _make_next(session, made, slots)) is not None:
            ticket = _issue_ticket(session, batch)
            if session.stop is not None or _is_accepted(session, batch):
                slots.release()
                continue
            session.waiting_bodies[ticket.number] = batch.body
            uploads.create_task(_upload_noting_failure(session, ticket, slots))


async def _make_next(
    session: ExportSession, made: Iterator[ContactBatch], slots: asyncio.Semaphore
) -> ContactBatch | None:
    await slots.acquire()
    try:
        batch = await asyncio.to_thread(next, made, None)
    except PipelineError as error:
        session.stop = explain_stop(error)
        return None
    except Exception as error:  # noqa: BLE001 -- what is under way is to end in good order
        session.stop = explain_stop(name_defect(error))
        return None
    session.all_cut = batch is None
    return batch


async def _upload_noting_failure(
    session: ExportSession, ticket: BatchTicket, slots: asyncio.Semaphore
) -> None:
    try:
        if session.stop is None:
            await upload_batch(ticket)
    except RequestRefused as error:
        _set_state(session, ticket, BatchState.REFUSED)
        session.note(f"Batch {ticket.number} was refused: {error}")
    except OutcomeUnknown as error:
        _set_state(session, ticket, BatchState.UNKNOWN)
        session.stop = session.stop or explain_stop(error)
    except EXPORT_ERRORS as error:
        session.stop = session.stop or explain_stop(error)
    finally:
        session.waiting_bodies.pop(ticket.number, None)
        slots.release()
        _tell_progress(session)


def _set_state(session: ExportSession, ticket: BatchTicket, state: BatchState) -> None:
    batch = session.batches[ticket.number]
    session.batches[ticket.number] = batch.model_copy(update={"state": state})


def _longest_csv_bytes(session: ExportSession) -> int:
    # All names of a delivery are of one length, so that each request has the same framing.
    name = batch_file_name(session.export_name, session.delivery, number=1, digest="0" * 12)
    return REQUEST_LIMIT_BYTES - 1 - framing_bytes(name, [session.list_id])


def _issue_ticket(session: ExportSession, batch: ContactBatch) -> BatchTicket:
    name = batch_file_name(session.export_name, session.delivery, batch.number, batch.digest)
    session.batches[batch.number] = BatchOutcome(
        file_name=name, rows=batch.rows, bytes=len(batch.body), state=BatchState.NOT_SENT
    )
    return BatchTicket(number=batch.number, rows=batch.rows, file_name=name)


def _is_accepted(session: ExportSession, batch: ContactBatch) -> bool:
    """Take over the activity of an earlier run, unless it lost contacts without a word."""
    activity = session.accepted.get((batch.number, batch.digest))
    if activity is None:
        return False
    recalled = update_batch(session.batches[batch.number], activity)
    if recalled.unexplained_rows:
        return False
    session.batches[batch.number] = recalled.model_copy(update={"already_accepted": True})
    return True


def _tell_progress(session: ExportSession) -> None:
    rows = sum(b.rows for b in session.batches.values() if b.activity_id is not None)
    session.tell(Progress(Stage.UPLOAD, rows, session.require_prepared().verdicts.sent, "contacts"))


def update_batch(batch: BatchOutcome, activity: Activity) -> BatchOutcome:
    """Bring a batch up to date with what its activity says."""
    counters = activity.counters
    return batch.model_copy(
        update={
            "activity_id": activity.activity_id,
            "state": BatchState(activity.state.value),
            "person_count": counters.person,
            "error_count": counters.error,
            "correctable_count": counters.correctable,
            "cannot_add_to_list_count": counters.cannot_add_to_list,
            "activity_errors": len(activity.activity_errors),
        }
    )
