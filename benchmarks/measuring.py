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


def run_measured(command: Sequence[str], *, env: Mapping[str, str] | None = None) -> Finished:
    """Run a command that prints one JSON document.

    Raises:
        RuntimeError: it ended with an error; what it said last is in the message.
    """
    begun = time.perf_counter()
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(env or {})},
    ) as process:
        peak = _PeakMemory(process.pid)
        peak.start()
        try:
            printed, said = process.communicate(timeout=TIME_LIMIT_S)
        except BaseException:
            process.terminate()
            raise
        finally:
            peak_mib = peak.stop()
    wall_s = time.perf_counter() - begun
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {_last(said)}")
    return Finished(wall_s, peak_mib, json.loads(printed))


def python_command(module: str, *arguments: str) -> list[str]:
    """Give the command that runs one of our modules with this very Python."""
    return [sys.executable, "-m", module, *arguments]


def run_interleaved(
    cases: Mapping[str, Callable[[], Finished]], rounds: int
) -> dict[str, list[Finished]]:
    """Run all cases in turn, round after round, each round beginning with another one.

    So that what else the machine does falls on all of them. A round before the first warms the
    page cache and is not counted.
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


def say(line: str) -> None:
    """Tell the person who waits how far it is; the results alone go to standard output."""
    print(f"· {line}", file=sys.stderr, flush=True)


class _PeakMemory:
    """Watch a process's high-water mark in Linux's /proc until it has ended.

    `ru_maxrss` would not do: it begins at the size of the process that forked, and in a parent it
    takes in all children.
    """

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._has_ended = Event()
        self._peak_kib = 0
        self._thread = Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> float:
        self._has_ended.set()
        self._thread.join()
        return self._peak_kib / KIB_PER_MIB

    def _watch(self) -> None:
        while not self._has_ended.wait(SAMPLE_EVERY_S):
            try:
                lines = self._status.read_text(encoding="ascii").splitlines()
            except OSError:
                return
            for line in lines:
                if line.startswith("VmHWM:"):
                    self._peak_kib = max(self._peak_kib, int(line.split()[1]))


def _last(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return " / ".join(lines[-3:]) or "it said nothing"
