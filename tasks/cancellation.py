"""A run that is cancelled in Prefect stops, also where no worker is there to stop it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.context import FlowRunContext

from tasks.tolerance import ANSWER_TIMEOUT_S

if TYPE_CHECKING:
    from uuid import UUID

LOOK_EVERY_S = 5.0
CANCELLED = "Cancelled in Prefect: stopping in good order."

_CANCELS = {StateType.CANCELLING, StateType.CANCELLED}

_log = logging.getLogger("segment_export.tasks")


@asynccontextmanager
async def heeding_cancel(on_cancel: Callable[[], None] | None) -> AsyncIterator[None]:
    """Cancel what is done inside this block when somebody cancels its flow run in Prefect.

    `on_cancel` is called before. Without it nobody looks: a worker ends the processes of its runs
    by itself. Where Prefect does not answer, nothing is cancelled.
    """
    context = FlowRunContext.get()
    work = asyncio.current_task()
    if on_cancel is None or work is None or context is None or context.flow_run is None:
        yield
        return
    looking = asyncio.create_task(_look_for_cancel(context.flow_run.id, work, on_cancel))
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait([looking])


async def _look_for_cancel(
    run_id: "UUID", work: asyncio.Task[object], on_cancel: Callable[[], None]
) -> None:
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        if await _is_cancelled(run_id):
            on_cancel()
            work.cancel()
            return


async def _is_cancelled(run_id: "UUID") -> bool:
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S), get_client() as client:
            run = await client.read_flow_run(run_id)
    except Exception as error:  # noqa: BLE001 -- whatever it is, contacts matter more
        # Asked again in a moment: not worth a warning each time.
        _log.debug("Prefect did not tell whether it was cancelled (%s)", type(error).__name__)
        return False
    return run.state_type in _CANCELS
