"""Run a coroutine so that Ctrl-C and SIGTERM stop it in good order, with its result."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import suppress
from typing import Any, TypeVar

from cli.background import begin as begin_in_thread
from cli.background import let_storing_end

T = TypeVar("T")
LOOK_EVERY_S = 0.2


def run_until_stopped(
    begin: Callable[[], Coroutine[Any, Any, T]],
    *,
    say: Callable[[str], None],
    on_stop: Callable[[], None] = lambda: None,
) -> T:
    """Run a coroutine in a thread of its own; cancel it when this thread is interrupted.

    Signals reach the main thread only, where Prefect would turn SIGTERM into an exception at any
    point of the event loop. Here they become a cancellation that the coroutine may answer with a
    result. `on_stop` is told. A second signal does not wait for that, but for a sign-in that is
    being stored, for which Prefect's API is needed.

    Raises:
        KeyboardInterrupt: it was stopped and gave no result.
    """
    running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any] | None]] = Future()

    async def run() -> T:
        running.set_result((asyncio.get_running_loop(), asyncio.current_task()))
        return await begin()

    ended: Future[T] | None = None
    try:
        ended = begin_in_thread(lambda: asyncio.run(run()), "export")
        return _wait(ended)
    except KeyboardInterrupt:
        if ended is None:
            raise
        on_stop()
        say("Stopping in good order; once more to stop at once.")
        begun_or_failed: list[Future[Any]] = [running, ended]
        wait(begun_or_failed, return_when=FIRST_COMPLETED)
        if running.done():
            loop, task = running.result()
            if task is not None:
                with suppress(RuntimeError):  # its loop has been closed: it has just ended
                    loop.call_soon_threadsafe(task.cancel)
        try:
            return _wait(ended)
        except (asyncio.CancelledError, CancelledError):
            raise KeyboardInterrupt from None
        except KeyboardInterrupt:
            let_storing_end(say)
            raise


def _wait(ended: Future[T]) -> T:
    # In short waits, as a signal that another thread was given does not end a long one.
    while not ended.done():
        wait([ended], timeout=LOOK_EVERY_S)
    return ended.result()
