"""The worker of `segment-export up` takes its runs with it, also those that do not listen."""

import subprocess
import sys
from contextlib import suppress

import psutil

PATIENCE_S = 150.0
# A worker that does not get to its end, with a run that does not end when it is asked to.
WORKER = """
import signal, subprocess, sys, time
from cli import local_worker
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)  # which its run inherits
run = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(run.pid, flush=True)
local_worker.STOP_WITHIN_S = 0.1
local_worker.stop_with_parent()
time.sleep(600)
"""


def test_run_that_does_not_end_is_ended_with_its_worker() -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert worker.stdout is not None
    run = psutil.Process(int(worker.stdout.readline()))
    try:
        worker.communicate(timeout=PATIENCE_S)  # which closes its standard input
        psutil.wait_procs([run], timeout=PATIENCE_S)
        assert not run.is_running() or run.status() == psutil.STATUS_ZOMBIE
    finally:
        for process in (worker, run):
            with suppress(psutil.NoSuchProcess):
                process.kill()
