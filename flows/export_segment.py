"""The flow that delivers the members of segments to a Constant Contact contact list."""

import asyncio
from datetime import UTC, datetime

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from schemas.export import ExportRequest
from schemas.outcome import ExportOutcome
from tasks.batches import upload_batches
from tasks.budget import require_quota
from tasks.cancellation import heeding_cancel
from tasks.connection import open_client
from tasks.destination import check_destination
from tasks.imports import wait_for_imports
from tasks.journal import begin_repeat, read_journal, sole_run
from tasks.newest import require_newest
from tasks.preparation import prepare_contacts, require_open_window, settle_delivery
from tasks.progress import showing_progress
from tasks.report import settle_outcome, settle_surely
from tasks.report_folder import open_report_folder
from tasks.schedule_pause import find_paused_schedule
from tasks.session import ExportSession, new_session
from tasks.step import name_defect
from tasks.stops import EXPORT_ERRORS, STOPPED, explain_stop


def name_run() -> str:
    """Name a flow run for what it delivers and through which connection."""
    request = _dated(ExportRequest.model_validate(flow_run.parameters["request"]))
    what = request.name or " + ".join(request.segments)
    dated = f" {request.snapshot_date}" if request.as_of else ""
    return f"{what}{dated} → {request.connection or 'no connection'}"


@flow(name="export-segment", flow_run_name=name_run, retries=0)
async def export_segment(request: ExportRequest) -> State[ExportOutcome]:
    """Deliver the members of segments to a Constant Contact contact list.

    Running it again after an interruption continues where it stopped; a delivery that is complete
    is not repeated unless asked.

    Args:
        request: What goes where.
    """
    request = _dated(request)
    if paused := await find_paused_schedule():
        return Cancelled(message=paused)
    with new_session(request) as session:
        async with showing_progress(session):
            try:
                session.report_dir = session.handover.report_dir or open_report_folder(request)
                async with heeding_cancel(session.handover.on_cancel), open_client(session):
                    await deliver(session)
            except asyncio.CancelledError:
                if not session.is_through:
                    session.stop = STOPPED
                    if not session.handover.ends_when_stopped:
                        await settle_outcome(session)
                        raise
            except EXPORT_ERRORS as error:
                session.stop = explain_stop(error)
            except Exception as error:  # noqa: BLE001 -- what was delivered is to be told even then
                session.stop = explain_stop(name_defect(error))
            outcome = await settle_surely(session)
    # Nobody is to be told of a failure where somebody wished for the end.
    badly = Cancelled if session.stop is STOPPED else Failed
    end = Completed if outcome.ended_well else badly
    return end(message=outcome.message, data=outcome)


def _dated(request: ExportRequest) -> ExportRequest:
    """Take today and yesterday by when the run was to start: a late one has its day's snapshot."""
    return request.dated(flow_run.scheduled_start_time or datetime.now(UTC))


async def deliver(session: ExportSession) -> None:
    """Take the steps of a delivery in their order."""
    await check_destination()
    await prepare_contacts()
    settle_delivery(session)
    require_open_window(session)
    async with sole_run(session):
        await read_journal()
        await require_quota(session)
        await require_newest(session)
        await upload_batches()
        if begin_repeat(session):
            await upload_batches()
        await wait_for_imports()
        session.is_through = True
