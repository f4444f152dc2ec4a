"""A run that a schedule began although that is switched off by now.

Prefect's scheduler reads the schedules and plans their runs a moment later: those that it plans
after a pause stay, and so does one that a worker has taken before it.
"""

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.context import FlowRunContext

from tasks.tolerance import tolerating_prefect

PAUSED = (
    "The schedule that began this run is paused: nothing was sent. Resume the export, or run it by "
    "hand."
)


async def find_paused_schedule() -> str:
    """Say that the schedule of this run is paused; nothing where somebody asked for the run.

    Who has a run of a schedule retried asks for it. What Prefect does not tell counts as not
    paused.
    """
    context = FlowRunContext.get()
    own = context.flow_run if context else None
    if own is None or own.deployment_id is None or not own.auto_scheduled or own.run_count > 1:
        return ""
    async with tolerating_prefect("the question about the schedule"), get_client() as client:
        if is_paused_for(own, await client.read_deployment(own.deployment_id)):
            return PAUSED
    return ""


def is_paused_for(run: FlowRun, export: DeploymentResponse) -> bool:
    """Say whether what began a run is off; a schedule that was replaced since is as the others.

    One that is gone without another in its place was taken away, not paused.
    """
    began = run.created_by.id if run.created_by else None
    own = [one for one in export.schedules if one.id == began]
    switches = [one.active for one in own or export.schedules]
    return bool(export.paused) or (bool(switches) and not any(switches))
