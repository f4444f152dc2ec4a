"""The end of a run is done to its end, whatever stops the run meanwhile."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import anyio

T = TypeVar("T")


async def undisturbed(work: Awaitable[T], *, limit_s: float) -> T:
    """Do work that a cancellation of this task does not reach, and return what it returns.

    From the first cancellation on it has so many seconds left; then it is cancelled itself.

    Raises:
        asyncio.CancelledError: this task was cancelled, and the work is over.
    """
    working = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    ends_at: float | None = None
    stopped: asyncio.CancelledError | None = None
    while not working.done():
        try:
            left_s = None if ends_at is None else max(0.0, ends_at - loop.time())
            with anyio.CancelScope(shield=True):  # its scopes cancel again and again
                await asyncio.wait([working], timeout=left_s)
        except asyncio.CancelledError as error:
            stopped = error
        if stopped is not None and ends_at is None:
            ends_at = loop.time() + limit_s
        if ends_at is not None and loop.time() >= ends_at:
            working.cancel()
            ends_at = None  # what it does about that has as long again
    if stopped is not None:
        if not working.cancelled():
            working.exception()  # has been looked at: what counts is that it is over
        raise stopped
    return working.result()
