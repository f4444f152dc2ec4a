"""Whose turn it is: other runs of the saved export go before the next run of a backfill.

Prefect has a run that waits for its export's slot look every 30 seconds. The next run of a backfill
would always be faster, and the nightly one would not get its turn until the backfill has ended.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateName,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound

from tasks.backfill import Backfill
from tasks.backfill_records import BACKFILL

QUEUE = "backfill"
LOOK_EVERY_S = 5.0
SILENT_LOOKS = 120  # ten minutes without an answer of Prefect's API

# Those whose time has come: a run that is Scheduled for later has no turn yet.
_WANT_A_TURN = ("AwaitingConcurrencySlot", "Late", "Scheduled", "Pending", "Running")


async def let_others_go_first(
    client: PrefectClient,
    deployment: DeploymentResponse,
    backfill: Backfill,
    sleep: Callable[[float], Awaitable[None]],
) -> None:
    """Wait until no run of the saved export is due or under way that is not of this backfill.

    A work pool or queue that is paused lets nobody go: that stops the backfill.

    Raises:
        httpx.HTTPError: Prefect's API has been silent for ten minutes.
    """
    silent = 0
    while True:
        try:
            if stop := await find_pause(client, deployment.work_pool_name):
                backfill.stop = stop
                return
            others = await find_others(client, deployment, backfill.backfill_id)
        except httpx.HTTPError:
            silent += 1
            if silent > SILENT_LOOKS:
                raise
        else:
            silent = 0
            if not others:
                return
            other = others[0]
            if stop := await _find_pause_of(client, other):
                backfill.stop = stop
                return
            _tell_once(backfill, f"The run {other.name} of the same export goes first.")
        await sleep(LOOK_EVERY_S)


async def find_others(
    client: PrefectClient, deployment: DeploymentResponse, backfill_id: str
) -> list[FlowRun]:
    """Find the runs of a saved export that are due or under way and not of this backfill."""
    found = await client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(name=FlowRunFilterStateName(any_=list(_WANT_A_TURN))),
            expected_start_time=FlowRunFilterExpectedStartTime(before_=datetime.now(UTC)),
        ),
    )
    return [run for run in found if f"{BACKFILL}:{backfill_id}" not in run.tags]


async def _find_pause_of(client: PrefectClient, run: FlowRun) -> str:
    """Say that no worker takes a run that goes first, and the backfill would wait for ever."""
    if run.state is not None and not run.state.is_scheduled():
        return ""
    pause = await find_pause(client, run.work_pool_name, run.work_queue_name or QUEUE)
    return pause and f"The run {run.name} of the same export is due, and goes first. {pause}"


async def find_pause(client: PrefectClient, pool: str | None, queue: str = QUEUE) -> str:
    """Say that no worker takes a run, as its pool or its queue is paused."""
    if pool is None:
        return ""
    try:
        if (await client.read_work_pool(pool)).is_paused:
            return f"The work pool {pool} is paused."
        if (await client.read_work_queue_by_name(queue, work_pool_name=pool)).is_paused:
            return f"The work queue {queue} of the pool {pool} is paused."
    except ObjectNotFound:
        return ""  # making the run, or waiting for a worker, tells
    return ""


def _tell_once(backfill: Backfill, remark: str) -> None:
    if remark not in backfill.told:
        backfill.told.add(remark)
        backfill.listener.on_note(remark)
