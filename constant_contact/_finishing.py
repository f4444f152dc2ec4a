"""Work that comes to its end once it has begun, whatever stops the program meanwhile."""

import asyncio
import contextvars
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import anyio

T = TypeVar("T")

_HELD = (signal.SIGTERM, signal.SIGINT)
_THREAD = "finishing"


class _Stops:
    """Put signals off that would end the process; only the main thread can, and hears them."""

    def __init__(self) -> None:
        self._depth = 0
        self._handlers: dict[int, Any] = {}
        self._came: list[int] = []

    @contextmanager
    def held(self) -> Generator[None, None, None]:
        """Act on signals that come inside this block at its end."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        if self._depth == 0:
            self._hold()
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                self._let_go()

    def _hold(self) -> None:
        for number in _HELD:
            # Of others' handlers in C nothing is known, and what is ignored stays ignored.
            if signal.getsignal(number) not in {None, signal.SIG_IGN, self._note}:
                self._handlers[number] = signal.signal(number, self._note)

    def _let_go(self) -> None:
        for number, handler in self._handlers.items():
            if signal.getsignal(number) == self._note:
                signal.signal(number, handler)
        came, self._came = self._came, []
        for number in dict.fromkeys(came):
            signal.raise_signal(number)

    def _note(self, number: int, _frame: object) -> None:
        if self._depth:
            self._came.append(number)
            return
        # Somebody had replaced this handler, and has put it back when it was of no more use.
        signal.signal(number, self._handlers[number])
        signal.raise_signal(number)


_stops = _Stops()


async def finish(begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Do work that nothing but the end of the process cuts off, and return what it returns.

    It runs in an event loop of its own: whatever cancels tasks of this one, or ends it, does not
    reach it. A cancellation is passed on when the work is done, and so are SIGTERM and SIGINT; a
    process that ends otherwise waits for its thread.
    """
    ended: Future[T] = Future()
    loop = asyncio.get_running_loop()
    is_over = asyncio.Event()

    def carry_out() -> None:
        try:
            ended.set_result(asyncio.run(begin()))
        except BaseException as error:  # noqa: BLE001 -- raised where it is waited for
            ended.set_exception(error)
        with suppress(RuntimeError):  # the loop that waited is closed
            loop.call_soon_threadsafe(is_over.set)

    run = contextvars.copy_context().run
    with _stops.held():
        threading.Thread(target=run, args=(carry_out,), name=_THREAD, daemon=False).start()
        cancelled: asyncio.CancelledError | None = None
        while not is_over.is_set():  # and so what it told on its way has been heard
            try:
                with anyio.CancelScope(shield=True):  # its scopes cancel again and again
                    await is_over.wait()
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled
    return ended.result()


def wait_for_finishing(timeout_s: float) -> bool:
    """Wait, so long at most, for work that has to come to its end; say whether none is left."""
    ends_at = time.monotonic() + timeout_s
    under_way = [thread for thread in threading.enumerate() if thread.name == _THREAD]
    for thread in under_way:
        thread.join(max(0.0, ends_at - time.monotonic()))
    return not any(thread.is_alive() for thread in under_way)
