"""The end of a run is not cut off, and does not keep a stop waiting for ever."""

import asyncio

import pytest

from tasks.undisturbed import undisturbed

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_result_and_error_come_back() -> None:
    assert await undisturbed(asyncio.sleep(0, "done"), limit_s=1) == "done"
    with pytest.raises(ZeroDivisionError):
        await undisturbed(divide_by_zero(), limit_s=1)


async def divide_by_zero() -> float:
    await asyncio.sleep(0)
    return 1 / 0


async def test_cancelled_as_often_as_one_likes_it_ends_and_passes_the_cancellation_on() -> None:
    go_on, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await go_on.wait()
        ended.set()

    task = asyncio.create_task(undisturbed(work(), limit_s=60))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_work_that_hangs_is_given_up_a_while_after_the_cancellation() -> None:
    was_cancelled = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            was_cancelled.set()

    task = asyncio.create_task(undisturbed(hang(), limit_s=0.01))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert was_cancelled.is_set()
