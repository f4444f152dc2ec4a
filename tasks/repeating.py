"""Do something again and again beside other work, and end that in good order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio

Sleep = Callable[[float], Awaitable[object]]


@asynccontextmanager
async def repeating(
    work: Callable[[], Awaitable[bool]],
    *,
    every_s: float,
    takes_s: float,
    sleep: Sleep = asyncio.sleep,
) -> AsyncIterator[None]:
    """Do `work` every so often beside this block, until it says that it is of no more use.

    At the end what is under way is finished, which may take `takes_s`: a request to Prefect's API
    that is cut off in the middle can leave a transaction open in its database.
    """
    is_over = asyncio.Event()
    repeats = asyncio.create_task(_repeat(work, every_s, sleep, is_over))
    try:
        yield
    finally:
        is_over.set()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([repeats], timeout=takes_s)
        repeats.cancel()


async def _repeat(
    work: Callable[[], Awaitable[bool]], every_s: float, sleep: Sleep, is_over: asyncio.Event
) -> None:
    is_of_use = True
    while is_of_use and not is_over.is_set():
        pause = asyncio.ensure_future(sleep(every_s))
        end = asyncio.ensure_future(is_over.wait())
        try:
            await asyncio.wait([pause, end], return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()
            end.cancel()
        if not is_over.is_set():
            is_of_use = await work()
