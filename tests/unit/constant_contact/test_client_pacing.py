"""Never more than four requests in a second, first come first served."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constant_contact import REQUEST_INTERVAL_S, Pacer

pytestmark = pytest.mark.anyio


@given(
    pauses_s=st.lists(st.floats(0, 2), min_size=6, max_size=40),
    shortfall=st.floats(0.5, 1.0),
)
def test_five_starts_never_fall_into_one_second(pauses_s: list[float], shortfall: float) -> None:
    now = 100.0
    starts: list[float] = []

    def clock() -> float:
        return now

    async def sleep(wait_s: float) -> None:
        nonlocal now
        now += max(wait_s * shortfall, 1e-6)  # timers wake up a little early

    async def work() -> None:
        nonlocal now
        pacer = Pacer(clock=clock, sleep=sleep)
        for pause_s in pauses_s:
            now += pause_s
            await pacer.acquire()
            starts.append(now)

    asyncio.run(work())
    assert all(later - earlier > 1.0 for earlier, later in zip(starts, starts[4:], strict=False))


async def test_waiters_go_in_the_order_in_which_they_came(stage: Any) -> None:
    pacer = Pacer(clock=stage.time.clock, sleep=stage.time.sleep)
    order: list[int] = []

    async def wait_for_turn(number: int) -> None:
        await pacer.acquire()
        order.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(wait_for_turn(number))
    assert order == list(range(8))
    assert stage.time.slept == pytest.approx([REQUEST_INTERVAL_S] * 7)


async def test_a_cancelled_waiter_uses_no_turn_up(stage: Any) -> None:
    pacer = Pacer(clock=stage.time.clock, sleep=stage.time.sleep)
    await pacer.acquire()
    cancelled = asyncio.create_task(pacer.acquire())
    waiting = asyncio.create_task(pacer.acquire())
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait({cancelled, waiting})
    assert cancelled.cancelled()
    assert stage.time.now - 1_800_000_000.0 == pytest.approx(REQUEST_INTERVAL_S, abs=0.01)
