"""Pace the requests of all machines that share an API key and a Prefect server.

A machine's own pace comes first: it costs nothing. Then a global concurrency limit of Prefect's,
with one slot that decays, grants the request; each grant comes at least `GRANT_INTERVAL_S` after
the one before. So five grants span at least 1.05 s, and as one that came back late is given up
for another, at most four requests of all machines start in any second.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Protocol

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.exceptions import ObjectAlreadyExists

from constant_contact import MachinePacer, RateLimiter

# A little more often than one machine's pace of 0.275 s, so that one alone hardly ever waits.
GRANTS_PER_S = 3.8
GRANT_INTERVAL_S = 1 / GRANTS_PER_S
# What a grant may take beyond the quickest one: four intervals and this are still over a second.
LATEST_GRANT_S = 0.05
MOST_LATE_GRANTS = 5
# A server that is too busy to answer one may still grant others: who went on without it then
# would come on top of them. So it is asked again for a while; only one that is away is not.
ANSWER_TIMEOUT_S = 3.0
PATIENCE_S = 20.0
LONGEST_WAIT_S = 60.0

# Without the limit each machine keeps to this: four of them together are still within four a
# second. It lasts until all machines have had time to ask the limit again.
SLOW_INTERVAL_S = 1.1
ASK_AGAIN_S = 5.0

Sleep = Callable[[float], Awaitable[object]]


class LimitMissing(Exception):
    """The limit is gone, and making it anew does not help."""


class ServerBusy(Exception):
    """Prefect's server is too busy to answer, as one on SQLite often is for a moment."""


class GrantSource(Protocol):
    """What grants requests one after the other over all machines."""

    async def grant(self) -> None:
        """Return when a request is granted; raise whatever keeps it from being."""
        ...


class GlobalLimit:
    """Prefect's global concurrency limit of an API key, asked for one request at a time.

    Prefect's own `rate_limit` hides how long a grant took, which is what tells a late one.
    """

    def __init__(
        self,
        client: PrefectClient,
        name: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._client = client
        self._name = name
        self._clock = clock
        self._sleep = sleep
        self._granted_at = float("-inf")
        self._quickest_s = float("inf")

    async def create(self) -> None:
        """Make the limit, or put right what somebody changed."""
        try:
            await self._client.upsert_global_concurrency_limit_by_name(
                self._name, limit=1, slot_decay_per_second=GRANTS_PER_S
            )
        except ObjectAlreadyExists:
            return  # by another machine, just now

    async def grant(self) -> None:
        """Return when a request is granted.

        Raises:
            LimitMissing: it was deleted, and cannot be made anew.
            httpx.HTTPError: Prefect's API cannot be reached, or does not answer as it should.
            TimeoutError, ServerBusy: it has been too busy for a while.
        """
        late = 0
        answered_at = self._clock()
        while True:
            # Asking too early makes it longer for everybody: a refusal starts the decay anew.
            while (wait_s := self._granted_at + GRANT_INTERVAL_S - self._clock()) > 0:
                await self._sleep(wait_s)
            asked_at = self._clock()
            try:
                is_granted = await self._ask()
            except (TimeoutError, ServerBusy):
                if self._clock() - answered_at >= PATIENCE_S:
                    raise
                await self._sleep(GRANT_INTERVAL_S)
                continue
            answered_at = self._clock()
            if not is_granted:
                continue
            self._granted_at = answered_at
            took_s = self._granted_at - asked_at
            # Of the first nobody knows whether it came late, unless it cannot have.
            quickest_s = 0.0 if math.isinf(self._quickest_s) else min(self._quickest_s, took_s)
            self._quickest_s = min(self._quickest_s, took_s)
            if took_s <= quickest_s + LATEST_GRANT_S or late >= MOST_LATE_GRANTS:
                return
            late += 1

    async def _ask(self) -> bool:
        for _ in range(2):
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    answer = await self._client.increment_concurrency_slots(
                        names=[self._name], slots=1, mode="rate_limit"
                    )
            except httpx.HTTPStatusError as error:
                if error.response.is_server_error:
                    raise ServerBusy from error
                if error.response.status_code != HTTPStatus.LOCKED:
                    raise
                await self._sleep(float(error.response.headers["Retry-After"]))
                return False
            if answer.json():
                return True
            await self.create()  # an empty list: there is no such limit
        raise LimitMissing


class SharedPacer:
    """Give a request this machine's turn, and then that of all machines.

    Where the limit fails, the machine goes on by itself, slowly, and asks again after a while;
    `on_trouble` is told.
    """

    def __init__(
        self,
        machine: MachinePacer,
        limit: GrantSource,
        *,
        on_trouble: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._machine = machine
        self._limit = limit
        self._on_trouble = on_trouble
        self._clock = clock
        self._sleep = sleep
        self._asks_again_at = float("-inf")
        self._is_slow_until = float("-inf")
        self._turn = asyncio.Lock()

    async def acquire(self) -> None:
        """Return when the next request may start."""
        async with self._turn:
            await self._take_machine_turn()
            if self._clock() < self._asks_again_at:
                return
            try:
                async with asyncio.timeout(LONGEST_WAIT_S):
                    await self._limit.grant()
            except Exception as error:  # noqa: BLE001 -- no fault of the limit ends an export
                self._go_slowly(type(error).__name__)
                # Others may just have been granted four.
                await self._sleep(SLOW_INTERVAL_S)
                await self._take_machine_turn()

    async def _take_machine_turn(self) -> None:
        is_slow = self._clock() < self._is_slow_until
        await self._machine.acquire(interval_s=SLOW_INTERVAL_S if is_slow else None)

    def _go_slowly(self, reason: str) -> None:
        now = self._clock()
        if now >= self._is_slow_until:
            self._on_trouble(
                f"The limit on requests that machines share cannot be asked ({reason}): this "
                "machine sends one a second until Prefect's API answers again."
            )
        self._asks_again_at = now + ASK_AGAIN_S
        # Longer than it takes all others to ask again: until then they go on by themselves.
        self._is_slow_until = self._asks_again_at + ASK_AGAIN_S


@asynccontextmanager
async def shared_pace(
    machine: MachinePacer, key_digest: str, *, on_trouble: Callable[[str], None]
) -> AsyncIterator[RateLimiter]:
    """Give the pacer of all machines for an API key; make its limit where there is none yet."""
    settings = {"event_hooks": {"response": [_raise_when_busy]}}
    async with get_client(httpx_settings=settings) as client:
        limit = GlobalLimit(client, f"segment-export-requests-{key_digest}")
        with suppress(Exception):  # the first request meets the same, and says so
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await limit.create()
        yield SharedPacer(machine, limit, on_trouble=on_trouble)


async def _raise_when_busy(response: httpx.Response) -> None:
    """Keep Prefect's client from waiting two seconds and more before it asks again."""
    if response.status_code in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
        raise ServerBusy
