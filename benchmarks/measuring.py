"""Run commands as processes of their own and note what they took."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

SAMPLE_EVERY_S = 0.05
TIME_LIMIT_S = 1_800
KIB_PER_MIB = 1024


@dataclass(frozen=True, slots=True)
class Finished:
    """A process that ended well: its whole wall time and peak memory, and the JSON it printed.

    `peak_mib` is of the process itself, imports included, without the processes that it started.
    """

    wall_s: float
    peak_mib: float
    document: dict[str, Any]


Case = Callable[[], Finished]


def run_measured(command: Sequence[str], *, env: Mapping[str, str] | None = None) -> Finished:
    """Run a command that prints one JSON document.

    Raises:
        RuntimeError: it ended with an error; what it said last is in the message.
    """
    begun = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
    ) as process:
        memory = _MemoryWatch(process.pid)
        try:
            printed, said = process.communicate(timeout=TIME_LIMIT_S)
        except BaseException:
            process.terminate()
            raise
        finally:
            sampled_mib = memory.stop()
    wall_s = time.perf_counter() - begun
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {_last(said)}")
    document: dict[str, Any] = json.loads(printed)
    return Finished(wall_s, document.get("peak_mib", sampled_mib), document)


def python_command(module: str, *arguments: str) -> list[str]:
    """Give the command that runs one of our modules with this very Python."""
    return [sys.executable, "-m", module, *arguments]


def keep_bytecode(folder: Path) -> None:
    """Let every process started from here find compiled modules, as an installed command does.

    Some machines are told not to write them, and then each import compiles anew.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder)


def run_interleaved(cases: Mapping[str, Case], rounds: int) -> dict[str, list[Finished]]:
    """Run all cases in turn, round after round, each round beginning with another one.

    So that what else the machine does falls on all of them. A round before the first warms the
    caches and is not counted.
    """
    names = list(cases)
    finished: dict[str, list[Finished]] = {name: [] for name in names}
    for number in range(rounds + 1):
        start = number % len(names)
        for name in names[start:] + names[:start]:
            say(f"round {number} of {rounds}: {name}")
            run = cases[name]()
            if number:
                finished[name].append(run)
    return finished


def median_of(runs: Iterable[Finished], value: Callable[[Finished], float]) -> float:
    """Give the median of one value over the rounds."""
    return statistics.median(value(run) for run in runs)


def read_peak_mib(process: int | str) -> float:
    """Read a running process's high-water mark of memory from Linux's /proc; 0 once it has ended.

    `ru_maxrss` would not do: it begins at the size of the process that forked.
    """
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    except OSError:
        return 0.0
    sizes_kib = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(next(sizes_kib, 0)) / KIB_PER_MIB


def say(line: str) -> None:
    """Tell the person who waits how far it is; the results alone go to standard output."""
    print(f"· {line}", file=sys.stderr, flush=True)


class _MemoryWatch:
    """Follow a process's peak memory from outside until it ends."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._has_ended = Event()
        self._peak_mib = 0.0
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        self._has_ended.set()
        self._thread.join()
        return self._peak_mib

    def _watch(self) -> None:
        while not self._has_ended.wait(SAMPLE_EVERY_S):
            self._peak_mib = max(self._peak_mib, read_peak_mib(self._pid))


def _last(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return " / ".join(lines[-3:]) or "it said nothing"
