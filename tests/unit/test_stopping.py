"""A command that is stopped just as its work ends still gives the result."""

import os
import signal
import sys
import threading
import time
import traceback

from cli.stopping import run_until_stopped


def wait_until_main_thread_waits() -> None:
    """A signal that comes before would end the test run itself."""
    main = threading.main_thread().ident
    assert main is not None
    while "_wait" not in {
        frame.name for frame in traceback.extract_stack(sys._current_frames()[main])
    }:
        time.sleep(0.01)


def test_work_that_ends_while_it_is_being_stopped_gives_its_result() -> None:
    is_told = threading.Event()

    async def work() -> str:
        wait_until_main_thread_waits()
        os.kill(os.getpid(), signal.SIGINT)
        is_told.wait(10)
        return "done"

    def say(_: str) -> None:
        is_told.set()
        for thread in threading.enumerate():
            if thread.name == "export":
                thread.join(10)

    assert run_until_stopped(work, say=say) == "done"
