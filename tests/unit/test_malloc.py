"""What a process keeps of the memory that its threads have freed."""

import platform
import subprocess
import sys

import pytest

FREED_MIB = 40
SCRIPT = f"""
import sys, threading
from pathlib import Path
from cli.malloc import keep_little_freed

def own_kib():
    return int(Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0])

def allocate():
    blocks = [bytearray(200 * 1024) for _ in range({FREED_MIB} * 5)]
    del blocks

if sys.argv[1] == "little":
    keep_little_freed()
large = bytearray(31 * 1024 * 1024)
del large  # from here on glibc would keep 62 MiB of each arena
before = own_kib()
thread = threading.Thread(target=allocate)
thread.start()
thread.join()
print((own_kib() - before) // 1024)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's options")
def test_what_threads_have_freed_is_handed_back() -> None:
    kept = {how: _measure_kept_mib(how) for how in ("little", "as it does")}

    assert kept["little"] < FREED_MIB / 10
    assert kept["as it does"] > FREED_MIB / 2, "glibc keeps little of its own now"


def _measure_kept_mib(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)
