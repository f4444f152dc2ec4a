"""The flow that delivers a range of snapshots of a saved export, one run each, oldest first."""

import asyncio

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed

from schemas.backfill import BackfillOutcome, BackfillRequest
from tasks.backfill import (
    STOPPED_EARLY,
    Backfill,
    begin_backfill,
    conclude_backfill,
    current_listener,
    note_stopped,
)
from tasks.backfill_runs import read_saved_export
from tasks.backfill_steps import deliver_snapshots, make_plan, show_status
from tasks.cancellation import heeding_cancel
from tasks.stops import EXPORT_ERRORS, explain_stop

FLOW = "backfill-export"


def name_run() -> str:
    """Name a flow run for what it delivers."""
    asked = BackfillRequest.model_validate(flow_run.parameters["backfill"])
    return f"{asked.export} {asked.first_date} to {asked.last_date}"


@flow(name=FLOW, flow_run_name=name_run, retries=0)
async def backfill_export(backfill: BackfillRequest) -> State[BackfillOutcome]:
    """Deliver a range of snapshots of a saved export, one run each, oldest first.

    Running it again goes on: what is delivered is left out, and a run under way is waited for.

    Args:
        backfill: Which snapshots of which export.
    """
    begun = None
    try:
        saved = await read_saved_export(backfill.export)
        begun = Backfill(
            backfill,
            saved.request,
            export=backfill.export,
            runs_elsewhere=True,
            folder=saved.folder,
        )
        with begin_backfill(begun):
            await carry_out(begun, plan_only=backfill.plan_only)
    except EXPORT_ERRORS as error:
        return Failed(message=explain_stop(error).reason)
    except asyncio.CancelledError:
        if not current_listener().ends_when_stopped:
            raise
    if begun is None:
        return Cancelled(message=STOPPED_EARLY)
    outcome = conclude_backfill(begun, is_plan=backfill.plan_only)
    begun.listener.on_outcome(outcome)
    # A plan that was made has done its work, also where it tells that something is missing.
    is_well = begun.refusal is None if backfill.plan_only else outcome.ended_well
    # Nobody is to be told of a failure where somebody wished for the end.
    badly = Cancelled if begun.was_stopped else Failed
    end = Completed if is_well else badly
    return end(message=outcome.message, data=outcome)


async def carry_out(begun: Backfill, *, plan_only: bool) -> None:
    """Take the steps of a backfill in their order."""
    try:
        async with heeding_cancel(begun.listener.on_cancel):
            await make_plan()
            if not plan_only:
                await deliver_snapshots(begun)
    except EXPORT_ERRORS as error:
        begun.refusal = explain_stop(error)
    except asyncio.CancelledError:
        note_stopped(begun)
        await show_status(begun)
        raise
