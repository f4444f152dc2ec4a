"""The work pool that workers take exports from."""

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.workers.process import ProcessWorker

from deployments.changes import Change, Outcome

POOL = "exports"


def apply_work_pool(client: SyncPrefectClient) -> Change:
    """Create the work pool unless it is there; one that is there stays as it is."""
    pool = WorkPoolCreate(
        name=POOL,
        type=ProcessWorker.type,
        base_job_template=ProcessWorker.get_default_base_job_template(),
    )
    try:
        client.create_work_pool(pool)
    except ObjectAlreadyExists:  # tried first: a worker that starts meanwhile makes it as well
        return Change("work pool", POOL, Outcome.UNCHANGED)
    return Change("work pool", POOL, Outcome.CREATED)
