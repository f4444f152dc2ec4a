"""What is under way on a work pool, and how to let it come to rest."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound

from deployments.changes import DeploymentRefused

UNDER_WAY = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)


@dataclass(frozen=True, slots=True)
class RunUnderWay:
    """A run that a worker has taken and that has not ended."""

    id: UUID
    name: str
    state: str
    minutes: int


def read_runs_under_way(client: SyncPrefectClient, pool: str) -> list[RunUnderWay]:
    """List the runs of a work pool that a worker has taken and that have not ended."""
    found = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(UNDER_WAY)))
        ),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
    )
    now = datetime.now(UTC)
    return [to_run_under_way(run, now) for run in found]


def to_run_under_way(run: FlowRun, now: datetime) -> RunUnderWay:
    """Tell how long a run is under way; one that has not started, how long it is as it is."""
    since = run.state.timestamp if run.state else now
    return RunUnderWay(
        id=run.id,
        name=run.name,
        state=run.state_name or "",
        minutes=int((now - (run.start_time or since)).total_seconds() // 60),
    )


def set_paused(client: SyncPrefectClient, pool: str, *, is_paused: bool) -> bool:
    """Pause or resume a work pool; tell whether that changed anything.

    Raises:
        DeploymentRefused: there is no such pool.
    """
    try:
        before = client.read_work_pool(pool)
    except ObjectNotFound:
        raise DeploymentRefused(
            f"There is no work pool “{pool}” on this server. Look at `prefect work-pool ls`, and "
            "name yours with --pool."
        ) from None
    if before.is_paused == is_paused:
        return False
    client.update_work_pool(pool, WorkPoolUpdate(is_paused=is_paused))
    return True


def cancel_runs(client: SyncPrefectClient, runs: list[RunUnderWay], reason: str) -> None:
    """Cancel runs that are under way, as the button of the UI does."""
    for run in runs:
        if run.state != "Cancelling":
            client.set_flow_run_state(run.id, State(type=StateType.CANCELLING, message=reason))


def settle_cancelled(client: SyncPrefectClient, runs: list[RunUnderWay], reason: str) -> None:
    """Have runs that were cancelled end Cancelled.

    A run says itself that it Crashed when its process is told to end, and only then does its
    worker say why; a worker that is stopped in between does not come to that.
    """
    for run in runs:
        state = client.read_flow_run(run.id).state
        if state is not None and state.is_crashed():
            end = State(type=StateType.CANCELLED, message=reason)
            client.set_flow_run_state(run.id, end, force=True)


def crash_runs(client: SyncPrefectClient, runs: list[RunUnderWay], reason: str) -> None:
    """Mark runs Crashed whose processes are known to be gone, so that nothing waits for them."""
    for run in runs:
        client.set_flow_run_state(run.id, State(type=StateType.CRASHED, message=reason))
