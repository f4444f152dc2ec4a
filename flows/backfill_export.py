"""The flow that delivers a range of snapshots of a saved export, one run each, oldest first."""

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from schemas.backfill import BackfillOutcome, BackfillRequest
from tasks.backfill import Backfill, begin_backfill, conclude_backfill
from tasks.backfill_runs import read_saved_export
from tasks.backfill_steps import deliver_snapshots, make_plan
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
    try:
        saved = await read_saved_export(backfill.export)
    except EXPORT_ERRORS as error:
        return Failed(message=explain_stop(error).reason)
    begun = Backfill(
        backfill, saved.request, export=backfill.export, runs_elsewhere=True, folder=saved.folder
    )
    with begin_backfill(begun):
        try:
            await make_plan()
        except EXPORT_ERRORS as error:
            begun.refusal = explain_stop(error)
        if not begun.refusal and not backfill.plan_only:
            await deliver_snapshots(begun)
    outcome = conclude_backfill(begun, is_plan=backfill.plan_only)
    # A plan that was made has done its work, also where it tells that something is missing.
    is_well = begun.refusal is None if backfill.plan_only else outcome.ended_well
    end = Completed if is_well else Failed
    return end(message=outcome.message, data=outcome)
