"""How often requests may start: Constant Contact takes four a second under one API key."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

# At most four requests a second as the service sees them arrive. Spacing them at 0.275 s makes
# it four in 1.1 s: a tenth of a second for what the network adds to one and not to the next.
REQUEST_INTERVAL_S = 0.275

# The token endpoint takes one request a second.
TOKEN_INTERVAL_S = 1.1


class RateLimiter(Protocol):
    """What every request asks before it starts; one that spans processes fits here too."""

    async def acquire(self) -> None:
        """Return when the next request may start."""
        ...


class Pacer:
    """Space the request starts of this process evenly, first come first served.

    A waiter that is cancelled gives its place to the next and uses nothing up.
    """

    def __init__(
        self,
        *,
        interval_s: float = REQUEST_INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._sleep = sleep
        self._next_start = float("-inf")
        self._turn = asyncio.Lock()  # wakes its waiters in the order in which they came

    async def acquire(self) -> None:
        """Return when the next request may start."""
        async with self._turn:
            # A loop, as a sleep may end a little early.
            while (wait_s := self._next_start - self._clock()) > 0:
                await self._sleep(wait_s)
            self._next_start = self._clock() + self._interval_s
