"""A command that is stopped just as its work ends still gives the result."""

import os
import signal
import threading

from cli.stopping import run_until_stopped


def test_work_that_ends_while_it_is_being_stopped_gives_its_result() -> None:
    is_told = threading.Event()

    async def work() -> str:
        os.kill(os.getpid(), signal.SIGINT)
        is_told.wait(10)
        return "done"

    def say(_: str) -> None:
        is_told.set()
        for thread in threading.enumerate():
            if thread.name == "export":
                thread.join(10)

    assert run_until_stopped(work, say=say) == "done"
