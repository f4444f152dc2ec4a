"""Run a coroutine so that Ctrl-C and SIGTERM stop it in good order, with its result."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future, wait
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")
LOOK_EVERY_S = 0.2


def run_until_stopped(
    begin: Callable[[], Coroutine[Any, Any, T]], *, say: Callable[[str], None]
) -> T:
    """Run a coroutine in a thread of its own; cancel it when this thread is interrupted.

    Signals reach the main thread only, where Prefect would turn SIGTERM into an exception at any
    point of the event loop. Here they become a cancellation that the coroutine may answer with a
    result. A second signal does not wait for that.

    Raises:
        KeyboardInterrupt: it was stopped and gave no result.
    """
    running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any] | None]] = Future()
    ended: Future[T] = Future()

    async def run() -> T:
        running.set_result((asyncio.get_running_loop(), asyncio.current_task()))
        return await begin()

    def work() -> None:
        try:
            ended.set_result(asyncio.run(run()))
        except BaseException as error:  # noqa: BLE001 -- raised again by the thread that waits
            ended.set_exception(error)

    threading.Thread(target=copy_context().run, args=(work,), daemon=True).start()
    try:
        return _wait(ended)
    except KeyboardInterrupt:
        say("Stopping in good order; once more to stop at once.")
        loop, task = running.result()
        if task is not None and not ended.done():
            loop.call_soon_threadsafe(task.cancel)
        try:
            return _wait(ended)
        except (asyncio.CancelledError, CancelledError):
            raise KeyboardInterrupt from None


def _wait(ended: Future[T]) -> T:
    # In short waits, as a signal that another thread was given does not end a long one.
    while not ended.done():
        wait([ended], timeout=LOOK_EVERY_S)
    return ended.result()
