"""The worker process of `segment-export up`: ends with its parent, and its runs with it.

Run as `python -m cli.local_worker NAME`. Its standard input is a pipe that the parent holds.
"""

import asyncio
import os
import signal
import sys
import threading
from contextlib import suppress

STOP_WITHIN_S = 10.0
RUNS_AT_ONCE = 4


def work(name: str) -> None:
    """Carry out what is due until standard input closes."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # even where it came ignored
    threading.Thread(target=stop_with_parent, daemon=True).start()

    from prefect.workers.process import ProcessWorker

    from deployments.work_pool import POOL

    worker = ProcessWorker(
        name=name, work_pool_name=POOL, limit=RUNS_AT_ONCE, create_pool_if_not_found=False
    )
    with suppress(KeyboardInterrupt, asyncio.CancelledError):
        asyncio.run(worker.start())
    _end_session()  # a run that hangs does not hear of its worker's end


def _end_session() -> None:
    """End this process and all it has started, where it leads them as `up` starts it."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(0)


def stop_with_parent() -> None:
    """Wait for standard input to close; then end this process, and in any case all it started."""
    while sys.stdin.buffer.read(1):
        pass
    threading.Timer(STOP_WITHIN_S, _end_session).start()
    os.kill(os.getpid(), signal.SIGINT)  # which ends its runs first


if __name__ == "__main__":
    work(sys.argv[1])
