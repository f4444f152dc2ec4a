"""Work in threads that do not keep the command from ending."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import NoReturn, TypeVar

T = TypeVar("T")
_threads: list[threading.Thread] = []

STORING_TAKES_S = 300.0  # at most: a slow answer, and a minute of trying to store it
STORING = (
    "The new sign-in is being stored; without it the connection would be lost, so this command "
    "ends when that is done."
)


def begin(work: Callable[[], T], name: str) -> Future[T]:
    """Do something in a thread of its own, which ends with the process at the latest."""
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()  # who waits for it may give up, but not take it back

    def do() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 -- raised again by who waits for it
            done.set_exception(error)

    thread = threading.Thread(target=copy_context().run, args=(do,), name=name, daemon=True)
    _threads[:] = [one for one in _threads if one.is_alive()]
    _threads.append(thread)
    thread.start()
    return done


def end_process(code: int) -> NoReturn:
    """End the process, at once where a thread of ours still works, but for storing a sign-in.

    Python would wait for such a thread, or pull it out from under a library that then aborts.
    """
    if not any(thread.is_alive() for thread in _threads):
        sys.exit(code)
    let_storing_end(lambda line: print(line, file=sys.stderr))  # noqa: T201 -- for who waits
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def let_storing_end(say: Callable[[str], None]) -> None:
    """Wait while a sign-in is being stored, whatever else would end the process meanwhile.

    Its old refresh token is spent: cut off there, the connection would be dead for everybody.
    """
    from constant_contact import wait_for_finishing

    if wait_for_finishing(0):
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    say(STORING)
    wait_for_finishing(STORING_TAKES_S)
