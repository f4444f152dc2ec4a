"""What a process that delivers again and again keeps of the memory that its threads have freed."""

import platform
import subprocess
import sys

import pytest

from cli.malloc import MOST_ARENAS

REFUSED = (
    "backfill --from 2026-03-02 --to 2026-03-01 --connection acme --list-id 1 --profiles "
    "{as_of}.parquet --segment Gold --segments-column Segments --email EMail"
)
FREED_MIB = 60
SCRIPT = f"""
import ctypes, sys, threading
from contextlib import suppress
from pathlib import Path
from cli.main import main

def own_kib():
    return int(Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0])

def allocate():
    blocks = [bytearray(200 * 1024) for _ in range({FREED_MIB} * 5)]
    del blocks

def allocate_together():
    block = bytearray(1000)
    together.wait()

def run_threads(threads):
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

sys.argv = ["segment-export", *sys.argv[1:]]
with suppress(SystemExit):
    main()
large = bytearray(31 * 1024 * 1024)
del large  # from here on glibc would keep 62 MiB of each arena
before = own_kib()
run_threads([threading.Thread(target=allocate)])
kept = (own_kib() - before) // 1024
together = threading.Barrier(8)
run_threads([threading.Thread(target=allocate_together) for _ in range(together.parties)])
library = ctypes.CDLL(None)
library.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(library.fdopen(1, b"w"))
library.malloc_info(0, out)
library.fprintf(out, b"kept %d", kept)
library.fflush(out)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is told so")
def test_backfill_hands_back_what_its_threads_have_freed() -> None:
    kept_mib, arenas = _measure(*REFUSED.split())
    assert kept_mib < 2 * FREED_MIB / 3  # of gaps that importing has left, some are filled
    assert arenas <= MOST_ARENAS

    kept_mib, arenas = _measure("--version")
    assert kept_mib > 2 * FREED_MIB / 3, "glibc keeps little of its own now"
    assert arenas > MOST_ARENAS, "glibc has few arenas of its own now"


def _measure(*arguments: str) -> tuple[int, int]:
    """Run a command, then threads that free; return MiB kept of that, and the arenas there are."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True
    )
    return int(done.stdout.rpartition("kept ")[2]), done.stdout.count("<heap nr=")
