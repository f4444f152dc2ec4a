"""Upload the batches of an export, a few at a time, while later ones are still being made."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from constant_contact import (
    REQUEST_LIMIT_BYTES,
    Activity,
    ConstantContactError,
    MaySend,
    OutcomeUnknown,
    RequestRefused,
    framing_bytes,
)
from pipeline import ContactBatch, PipelineError, batch_file_name, cut_around
from schemas.outcome import BatchOutcome, BatchState
from tasks.narrowing import Narrowing
from tasks.newest_mark import stop_if_overtaken
from tasks.role_addresses import look_for_roles
from tasks.sending import keeping_marked, mark_sending
from tasks.session import BatchKey, ExportSession, Progress, Stage, current_session
from tasks.step import name_defect, step
from tasks.stops import EXPORT_ERRORS, ExportError, explain_stop

MOST_UPLOADS_AT_ONCE = 4

# A lease is renewed more often than this many seconds. Where Prefect's API stays silent to this
# machine, it may still answer another, which then takes over.
LEASE_LOOKS = 15


@dataclass(frozen=True, slots=True)
class BatchTicket:
    """A batch without its contacts: what the Prefect UI may show of it."""

    number: int
    first: int
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
    key = ticket.number, ticket.first
    batch = session.waiting[key]
    mark_sending(session)
    receipt = await session.require_client().import_file(
        file_name=ticket.file_name,
        body=batch.body,
        list_ids=[session.list_id],
        known_ids=session.earlier_ids,
        may_send=lambda: _may_send(session),
        on_send=lambda: session.begun.add(key),
    )
    note_activity(session, key, batch, receipt.activity)
    return UploadReceipt(receipt.activity.activity_id, receipt.activity.state.value)


async def upload_batches() -> None:
    """Upload every batch that is not accepted yet; what fails is noted, and the others go on.

    One batch is made while at most `MOST_UPLOADS_AT_ONCE` are under way, so that memory does not
    grow with the segment. After an error that concerns them all, the rest is only listed.
    """
    session = current_session()
    slots = asyncio.Semaphore(MOST_UPLOADS_AT_ONCE)
    made = session.require_prepared().iter_batches(longest_csv_bytes(session))
    narrowings: list[Narrowing] = []
    async with keeping_marked(session), asyncio.TaskGroup() as uploads:
        while (batch := await _make_next(session, made, slots)) is not None:
            await asyncio.to_thread(look_for_roles, session, batch)
            parts = await asyncio.to_thread(cut_as_accepted, session, batch)
            unsent = [part for part in parts if not _enter(session, part)]
            if session.stop is not None or not unsent:
                slots.release()
                continue
            narrowing = Narrowing(
                session,
                upload=lambda part: _upload(session, part),
                enter=lambda part: _enter(session, part),
            )
            narrowings.append(narrowing)
            uploads.create_task(_deliver(narrowing, unsent, slots))
    for narrowing in narrowings:
        narrowing.conclude()


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


def cut_as_accepted(session: ExportSession, batch: ContactBatch) -> list[ContactBatch]:
    """Cut a batch as an earlier run did that had to halve it; else it stays whole."""
    accepted = {digest for number, digest in session.accepted if number == batch.number}
    return cut_around(batch, accepted)


async def _deliver(
    narrowing: Narrowing, parts: list[ContactBatch], slots: asyncio.Semaphore
) -> None:
    """Upload what there is of one batch, halving what is refused."""
    try:
        for part in parts:
            await narrowing.deliver(part)
    finally:
        slots.release()


async def _upload(session: ExportSession, batch: ContactBatch) -> RequestRefused | None:
    """Upload one batch or part; what it raises stops the run, but for a refusal."""
    if session.stop is not None:
        return None
    key = batch.number, batch.first
    ticket = BatchTicket(batch.number, batch.first, batch.rows, session.batches[key].file_name)
    session.waiting[key] = batch
    session.begun.discard(key)
    try:
        await upload_batch(ticket)
    except RequestRefused as error:
        return error
    except OutcomeUnknown as error:
        _set_state(session, key, BatchState.UNKNOWN)
        _stop(session, error)
    except ConstantContactError as error:
        _stop(session, error)
    except EXPORT_ERRORS as error:  # as when the connection is taken away: it may have arrived
        _note_unknown(session, key)
        _stop(session, error)
    except asyncio.CancelledError:
        _note_unknown(session, key)
        raise
    finally:
        del session.waiting[key]
        _tell_progress(session)
    return None


async def _may_send(session: ExportSession) -> MaySend:
    """Make sure that no other machine has taken the delivery over, as after a long pause.

    And that no run has begun meanwhile to deliver a newer snapshot, which this would overwrite.
    Where another may be at work all the same, what it has sent is looked for.
    """
    lease = session.lease
    for _ in range(LEASE_LOOKS):
        if lease is None or not lease.is_late or session.stop is not None:
            break
        await session.handover.sleep(1.0)  # the next renewal tells
    await stop_if_overtaken(session)
    if session.stop is not None:
        return MaySend.NO
    return MaySend.YES if lease is None or lease.is_sure else MaySend.UNLESS_FOUND


def _stop(session: ExportSession, error: ExportError) -> None:
    session.stop = session.stop or explain_stop(error)


def _note_unknown(session: ExportSession, key: BatchKey) -> None:
    """Note that it is not known whether a batch has arrived, if it was on its way."""
    if key in session.begun and session.batches[key].activity_id is None:
        _set_state(session, key, BatchState.UNKNOWN)


def _set_state(session: ExportSession, key: BatchKey, state: BatchState) -> None:
    session.batches[key] = session.batches[key].model_copy(update={"state": state})


def longest_csv_bytes(session: ExportSession) -> int:
    """Give the most bytes that a file of this delivery may have in a request under the limit."""
    # All names of a repeat are of one length, so that each request has the same framing.
    name = _name(session, number=1, digest="0" * 12)
    return REQUEST_LIMIT_BYTES - 1 - framing_bytes(name, [session.list_id])


def _name(session: ExportSession, number: int, digest: str) -> str:
    return batch_file_name(
        session.export_name, session.delivery, number, digest, repeat=session.repeat
    )


def _enter(session: ExportSession, batch: ContactBatch) -> bool:
    """List a batch or part, and say whether an earlier run has got it accepted."""
    key = batch.number, batch.first
    session.batches[key], activity = describe_batch(session, batch)
    if activity is not None:
        note_activity(session, key, batch, activity)
    return activity is not None


def describe_batch(
    session: ExportSession, batch: ContactBatch
) -> tuple[BatchOutcome, Activity | None]:
    """Say where a batch or part stands, and which activity of an earlier run it became, if any.

    One that lost contacts without a word does not count: it is to go again.
    """
    unsent = BatchOutcome(
        file_name=_name(session, batch.number, batch.digest),
        rows=batch.rows,
        bytes=len(batch.body),
        state=BatchState.NOT_SENT,
    )
    recalled = [
        (update_batch(unsent, activity).model_copy(update={"already_accepted": True}), activity)
        for activity in session.accepted.get((batch.number, batch.digest), ())
    ]
    counted = [one for one in recalled if not one[0].unexplained_rows]
    # A completed one goes before one that is still at work.
    return min(counted, key=lambda one: one[0].state.is_pending, default=(unsent, None))


def _tell_progress(session: ExportSession) -> None:
    rows = sum(b.rows for b in session.batches.values() if b.activity_id is not None)
    session.tell(Progress(Stage.UPLOAD, rows, session.require_prepared().verdicts.sent, "contacts"))


def note_activity(
    session: ExportSession, key: BatchKey, batch: ContactBatch, activity: Activity
) -> None:
    """Bring a batch up to date with its activity, while its contacts are at hand."""
    session.batches[key] = update_batch(session.batches[key], activity)
    if batch.has_a_line_each:
        session.one_line_each.add(key)
    note_named_lines(session, key, activity)


def note_named_lines(session: ExportSession, key: BatchKey, activity: Activity) -> None:
    """Remember which contacts of a batch its activity names as errors."""
    if key in session.one_line_each:
        last = session.batches[key].rows + 1
        session.named_lines[key] = tuple(n for n in activity.error_lines if 1 < n <= last)


def update_batch(batch: BatchOutcome, activity: Activity) -> BatchOutcome:
    """Bring a batch up to date with what its activity says."""
    counters = activity.counters
    return batch.model_copy(
        update={
            "activity_id": activity.activity_id,
            "state": BatchState(activity.state.value),
            "items_total_count": counters.items_total,
            "person_count": counters.person,
            "error_count": counters.error,
            "correctable_count": counters.correctable,
            "cannot_add_to_list_count": counters.cannot_add_to_list,
            "activity_errors": len(activity.activity_errors),
        }
    )
