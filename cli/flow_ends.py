"""Run a flow in this process to a true end, whatever stops the command on the way."""

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, TypeVar

from prefect.client.orchestration import get_client
from prefect.states import Cancelled

from tasks.tolerance import tolerating_prefect

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

T = TypeVar("T")
ENDING_S = 30.0
LOOK_EVERY_S = 0.5


async def run_to_its_end(flow_run: Awaitable["State[Any]"], told: list[T]) -> "State[Any] | None":
    """Run a flow that puts its outcome into a list; None where Prefect lost its end after that.

    A cancellation of this task reaches the flow until it has told its outcome. What is left then
    is that Prefect is told as well, for which it has so many seconds.

    Raises:
        asyncio.CancelledError: the flow was stopped before it had an outcome.
    """
    running = asyncio.ensure_future(flow_run)
    loop = asyncio.get_running_loop()
    is_stopped, ends_at = False, float("inf")
    while not running.done() and loop.time() < ends_at:
        try:
            await asyncio.wait([running], timeout=LOOK_EVERY_S if is_stopped else None)
        except asyncio.CancelledError:
            is_stopped = True
            if not told:
                running.cancel()
        if is_stopped and told:
            ends_at = min(ends_at, loop.time() + ENDING_S)
    try:
        if not running.done():
            return None
        return running.result()
    except (Exception, asyncio.CancelledError):
        if not told:
            raise
        return None


async def end_cancelled(state: "State[Any]", message: str) -> None:
    """Have a run that Prefect waits for the cancellation of end so, with its own message.

    Whatever else a run that is being cancelled ends as, Prefect does not take.
    """
    run_id = state.state_details.flow_run_id
    if run_id is not None:
        async with tolerating_prefect("the end of a cancelled run"), get_client() as client:
            await client.set_flow_run_state(run_id, Cancelled(message=message))
