"""Leave a Prefect server as it was found: other tests share it."""

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType

NOT_ENDED = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]


def remove_deployed(client: SyncPrefectClient) -> None:
    """Remove whatever was deployed, all automations, and runs that a worker has taken and left."""
    for automation in client.read_automations():
        client.delete_automation(automation.id)
    for deployment in client.read_deployments():
        client.delete_deployment(deployment.id)
    left = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=NOT_ENDED)))
    for run in client.read_flow_runs(flow_run_filter=left):
        client.delete_flow_run(run.id)
