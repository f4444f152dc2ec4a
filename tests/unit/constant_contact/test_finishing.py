"""What has begun and cannot be had twice is done to its end, whatever stops the program."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from constant_contact._finishing import finish

pytestmark = pytest.mark.anyio


class Stopped(Exception):
    pass


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """Signals that this process's own handlers were given."""
    came: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, lambda got, _: came.append(got))
    yield came
    for number, handler in before.items():
        signal.signal(number, handler)


async def test_result_and_error_come_back() -> None:
    async def fail() -> None:
        raise Stopped

    assert await finish(lambda: asyncio.sleep(0, "done")) == "done"
    with pytest.raises(Stopped):
        await finish(fail)


async def test_cancelled_as_often_as_one_likes_it_ends_and_passes_the_cancellation_on() -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    async def work() -> None:
        begun.set()
        await asyncio.to_thread(go_on.wait)
        ended.set()

    task = asyncio.create_task(finish(work))
    await asyncio.to_thread(begun.wait)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_waits_for_its_end_and_is_heard_then(number: int, heard: list[int]) -> None:
    heard_meanwhile: list[list[int]] = []

    async def work() -> str:
        os.kill(os.getpid(), number)
        await asyncio.sleep(0.05)  # the main thread has had the time to hear it
        heard_meanwhile.append(list(heard))
        return "done"

    assert await finish(work) == "done"
    assert heard_meanwhile == [[]]
    assert heard == [number]
    os.kill(os.getpid(), number)
    assert heard == [number, number]


async def test_two_at_once_hold_a_signal_until_the_last_has_ended(heard: list[int]) -> None:
    first_ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    heard_by_second: list[list[int]] = []

    async def first() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    async def second() -> None:
        asyncio.run_coroutine_threadsafe(first_ended.wait(), loop).result(10)
        heard_by_second.append(list(heard))

    async def finish_first() -> None:
        await finish(first)
        first_ended.set()

    await asyncio.gather(finish(second), finish_first())
    assert heard_by_second == [[]]
    assert heard == [signal.SIGTERM]


async def test_signal_that_is_ignored_stays_ignored(heard: list[int]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    async def work() -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return signal.getsignal(signal.SIGINT)

    assert await finish(work) is signal.SIG_IGN
    assert heard == []


def test_elsewhere_than_in_the_main_thread_it_ends_too() -> None:
    results: list[str] = []

    def run() -> None:
        results.append(asyncio.run(finish(lambda: asyncio.sleep(0, "done"))))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert results == ["done"]
