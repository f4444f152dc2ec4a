"""The work pool that workers take exports from, and its queue of backfills."""

from dataclasses import dataclass

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import WorkerStatus
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.workers.process import ProcessWorker

from deployments.changes import Change, Outcome
from tasks.backfill_turns import QUEUE

POOL = "exports"

# One run of a backfill at a time, and only when nothing else waits: 1 is the highest priority.
BACKFILLS_AT_ONCE = 1
BACKFILL_PRIORITY = 100


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


@dataclass(frozen=True, slots=True)
class PoolStanding:
    """Whether what is due on a work pool is carried out."""

    pool: str
    is_paused: bool
    has_worker: bool


def read_standing(client: SyncPrefectClient, pool: str = POOL) -> PoolStanding | None:
    """Read whether a work pool is paused, and whether a worker is alive; None if there is none.

    Prefect takes a worker for alive until it has missed three heartbeats, a minute and a half.
    """
    try:
        is_paused = client.read_work_pool(pool).is_paused
        workers = client.read_workers_for_work_pool(pool)
    except ObjectNotFound:
        return None
    return PoolStanding(
        pool, is_paused, any(worker.status is WorkerStatus.ONLINE for worker in workers)
    )


def apply_backfill_queue(client: SyncPrefectClient) -> Change:
    """Have a queue for runs of backfills, so that nightly runs go before them.

    A limit that somebody has set stays. Prefect makes a queue without one where a run names it.
    """
    name = f"{POOL}/{QUEUE}"
    try:
        queue = client.read_work_queue_by_name(QUEUE, work_pool_name=POOL)
    except ObjectNotFound:
        client.create_work_queue(
            QUEUE,
            description="Runs of backfills, one at a time, after all others.",
            concurrency_limit=BACKFILLS_AT_ONCE,
            priority=BACKFILL_PRIORITY,
            work_pool_name=POOL,
        )
        return Change("work queue", name, Outcome.CREATED)
    if queue.concurrency_limit is not None:
        return Change("work queue", name, Outcome.UNCHANGED)
    client.update_work_queue(
        queue.id, concurrency_limit=BACKFILLS_AT_ONCE, priority=BACKFILL_PRIORITY
    )
    return Change("work queue", name, Outcome.UPDATED)
