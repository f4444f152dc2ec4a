"""The pace of all machines: never over four a second, and slowly on when the limit fails."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest

from constant_contact import MachinePacer
from tasks.pace import (
    ASK_AGAIN_S,
    GRANT_INTERVAL_S,
    LATEST_GRANT_S,
    PATIENCE_S,
    GlobalLimit,
    LimitMissing,
    ServerBusy,
    SharedPacer,
)

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Time:
    """Time passes only by sleeping, and by answers that take some."""

    def __init__(self) -> None:
        self.now = 1000.0

    def clock(self) -> float:
        return self.now

    async def sleep(self, wait_s: float) -> None:
        self.now += max(wait_s, 0.0)


class Scripted:
    """Stands for the limit: grants, or fails as it is told."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.asked = 0

    async def grant(self) -> None:
        self.asked += 1
        if self.error is not None:
            raise self.error


class Machines:
    """Machines with a clock in common, and when each one's requests started."""

    def __init__(self, folder: Path, count: int) -> None:
        self.time = Time()
        self.limit = Scripted()
        self.told: list[str] = []
        self.pacers = [
            SharedPacer(
                MachinePacer(folder / str(n), clock=self.time.clock, sleep=self.time.sleep),
                self.limit,
                on_trouble=self.told.append,
                clock=self.time.clock,
                sleep=self.time.sleep,
            )
            for n in range(count)
        ]

    async def start(self, requests: int) -> list[float]:
        starts = []
        for _ in range(requests):
            await self.pacers[0].acquire()
            starts.append(self.time.now)
        return starts


@pytest.fixture
def alone(tmp_path: Path) -> Machines:
    return Machines(tmp_path, 1)


async def test_machine_alone_keeps_its_own_pace_while_it_is_granted(alone: Machines) -> None:
    starts = await alone.start(8)
    assert [b - a for a, b in pairwise(starts)] == pytest.approx([0.275] * 7)
    assert alone.limit.asked == 8
    assert alone.told == []


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("gone"), TimeoutError(), LimitMissing(), ValueError("any")]
)
async def test_export_goes_on_slowly_when_the_limit_fails(
    alone: Machines, error: Exception
) -> None:
    alone.limit.error = error
    starts = await alone.start(4)
    assert starts[0] - 1000.0 >= 1.0  # others may just have been granted four
    assert min(b - a for a, b in pairwise(starts)) > 1.0
    assert alone.limit.asked == 1
    (told,) = alone.told
    assert told == (
        f"The limit on requests that machines share cannot be asked ({type(error).__name__}): "
        "this machine sends one a second until Prefect's API answers again."
    )


async def test_limit_is_asked_again_after_a_while_and_said_once(alone: Machines) -> None:
    alone.limit.error = httpx.ConnectError("gone")
    starts = await alone.start(60)
    took_s = starts[-1] - starts[0]
    assert took_s / (ASK_AGAIN_S + 2.5) < alone.limit.asked < took_s / ASK_AGAIN_S + 1
    assert len(alone.told) == 1


async def test_pace_returns_only_when_all_others_have_had_time_to_ask_again(
    alone: Machines,
) -> None:
    alone.limit.error = httpx.ConnectError("gone")
    await alone.start(1)
    failed_at = alone.time.now
    alone.limit.error = None
    starts = await alone.start(80)
    slow = [a for a, b in pairwise(starts) if b - a > 1.0]
    assert slow[-1] - failed_at == pytest.approx(2 * ASK_AGAIN_S, abs=3.0)
    assert starts[-1] - starts[-2] == pytest.approx(0.275)
    asked_while_slow = alone.limit.asked
    await alone.start(1)
    assert alone.limit.asked == asked_while_slow + 1


class Server:
    """Answers for the limit as Prefect's server does; each answer takes as long as it is told."""

    def __init__(self, time: Time, *, took_s: Callable[[int], float]) -> None:
        self.time = time
        self.took_s = took_s
        self.granted_at: list[float] = []
        self.refusals = 0
        self.updated = float("-inf")
        self.answer: Callable[[], httpx.Response] | None = None
        self.created = 0

    async def increment_concurrency_slots(self, **_: Any) -> httpx.Response:
        took_s = self.took_s(len(self.granted_at) + self.refusals)
        self.time.now += took_s / 2
        if self.answer is not None:
            return self.answer()
        is_free = self.time.now - self.updated >= GRANT_INTERVAL_S - 1e-9
        self.updated = self.time.now
        if is_free:
            self.granted_at.append(self.time.now)
            self.time.now += took_s / 2
            return httpx.Response(200, content=json.dumps([{"name": "n"}]))
        self.refusals += 1
        refused = httpx.Response(423, headers={"Retry-After": "0.3"})
        raise httpx.HTTPStatusError("", request=httpx.Request("POST", "http://p"), response=refused)

    async def upsert_global_concurrency_limit_by_name(self, *_: Any, **__: Any) -> None:
        self.created += 1

    def limit(self) -> GlobalLimit:
        client = cast("PrefectClient", self)
        return GlobalLimit(client, "n", clock=self.time.clock, sleep=self.time.sleep)


async def test_machine_alone_is_never_refused() -> None:
    time = Time()
    server = Server(time, took_s=lambda _: 0.012)
    limit = server.limit()
    for _ in range(20):
        await limit.grant()
    assert server.refusals == 0
    assert (time.now - 1000.0) / 19 < 0.28


async def test_refused_request_asks_again() -> None:
    time = Time()
    server = Server(time, took_s=lambda _: 0.012)
    first, second = server.limit(), server.limit()
    await first.grant()
    await second.grant()
    assert server.refusals > 0
    assert len(server.granted_at) == 2


async def test_grant_that_came_back_late_is_given_up_for_another() -> None:
    time = Time()
    server = Server(time, took_s=lambda n: 1.2 if n == 3 else 0.01)
    limit = server.limit()
    used_at = []
    for _ in range(6):
        await limit.grant()
        used_at.append(time.now)
    assert len(server.granted_at) == 7
    came_back_at = server.granted_at[3] + 0.6
    assert min(abs(used - came_back_at) for used in used_at) > 0.2


async def test_first_grant_is_given_up_when_it_may_have_come_back_late() -> None:
    time = Time()
    server = Server(time, took_s=lambda n: 1.2 if n == 0 else 0.01)
    await server.limit().grant()
    assert len(server.granted_at) == 2
    assert time.now - server.granted_at[1] < LATEST_GRANT_S


async def test_grants_that_are_always_late_are_used_at_last() -> None:
    time = Time()
    server = Server(time, took_s=lambda n: 0.01 if n == 0 else 1.0)
    limit = server.limit()
    await limit.grant()
    await limit.grant()
    assert len(server.granted_at) == 7


async def test_limit_that_was_deleted_is_made_anew() -> None:
    server = Server(Time(), took_s=lambda _: 0.01)
    answers = iter([[], [{"name": "n"}]])
    server.answer = lambda: httpx.Response(200, content=json.dumps(next(answers)))
    await server.limit().grant()
    assert server.created == 1


async def test_limit_that_stays_missing_is_a_failure() -> None:
    server = Server(Time(), took_s=lambda _: 0.01)
    server.answer = lambda: httpx.Response(200, content=b"[]")
    with pytest.raises(LimitMissing):
        await server.limit().grant()


@pytest.mark.parametrize("status", [500, 503])
async def test_server_that_is_too_busy_is_asked_again_before_it_counts_as_gone(status: int) -> None:
    time = Time()
    server = Server(time, took_s=lambda _: 2.0)
    failures = 4

    def answer() -> httpx.Response:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise_status(status)
        return httpx.Response(200, content=b'[{"name": "n"}]')

    server.answer = answer
    await server.limit().grant()
    failures = 1000
    begun = time.now
    with pytest.raises(ServerBusy):
        await server.limit().grant()
    assert PATIENCE_S <= time.now - begun < PATIENCE_S + 3


@pytest.mark.parametrize("status", [401, 403, 422])
async def test_server_that_refuses_the_question_is_not_asked_again(status: int) -> None:
    time = Time()
    server = Server(time, took_s=lambda _: 0.02)
    server.answer = lambda: raise_status(status)
    with pytest.raises(httpx.HTTPStatusError):
        await server.limit().grant()
    assert time.now - 1000.0 < 1.0


def raise_status(status: int) -> httpx.Response:
    request = httpx.Request("POST", "http://p")
    raise httpx.HTTPStatusError("", request=request, response=httpx.Response(status))
