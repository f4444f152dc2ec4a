"""Pace and count the requests of all processes of this machine that share an API key."""

import asyncio
import fcntl
import os
import struct
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

from constant_contact._pacing import REQUEST_INTERVAL_S

_RECORD = struct.Struct("<ddII")
_PRIVATE_FILE = 0o600

# A busy process may sleep past its moment. Starting too late it would come too close to the next
# one's, so it takes another; but on a machine that is always late it has to go at last.
_LATEST_S = 0.05
_MOST_TRIES = 10

# A process that wakes late is on a busy machine, where it also takes longer from its turn to the
# first byte, now more and now less. There the requests of all processes keep a wider distance for
# a while.
_STRAIN_S = 0.02
_STRAINED_INTERVAL_S = 0.4
_STRAINED_FOR_S = 20.0

# 110 requests in line, while a process has a handful under way. What lies further ahead is left
# over from before a restart, and one that lies nearer holds nobody up for longer than this.
_LONGEST_QUEUE_S = 30.0


class _Record(NamedTuple):
    """What the processes share."""

    next_start: float = float("-inf")
    strained_until: float = float("-inf")
    day: int = 0  # as date.toordinal
    used: int = 0  # requests that began on that day


def utc_today() -> date:
    """Tell the day by which Constant Contact counts: it begins at 00:00 UTC."""
    return datetime.now(UTC).date()


class MachinePacer:
    """Space request starts evenly over every process that opens the same file, and count them.

    The file holds when the next request may start; who reads it under the file's lock moves it on
    by `interval_s` and waits for that moment. The kernel lets go of the lock when its holder dies.
    `clock` must be the same for all processes, as CLOCK_MONOTONIC is until the machine restarts; a
    moment further ahead than requests could have queued up is left over from before. On a machine
    that is so busy that sleepers wake late, the distance is wider: one of them tells all others.

    Beside it stands how many requests began today: a count, no verdict. It begins anew where the
    file is new, and a request that is given up in line stays counted.
    """

    def __init__(
        self,
        file: Path,
        *,
        interval_s: float = REQUEST_INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        today: Callable[[], date] = utc_today,
    ) -> None:
        self._file = file
        self._interval_s = interval_s
        self._clock = clock
        self._sleep = sleep
        self._today = today

    async def acquire(self, *, interval_s: float | None = None) -> None:
        """Return when the next request may start; the one after it comes `interval_s` later."""
        for turn in range(_MOST_TRIES):
            start = self._reserve(interval_s, requests=int(turn == 0))
            has_slept = False
            # A loop, as a sleep may end a little early.
            while (wait_s := start - self._clock()) > 0:
                has_slept = True
                await self._sleep(wait_s)
            late_s = self._clock() - start
            if has_slept and late_s > _STRAIN_S:
                self._tell_strain()
            if late_s <= _LATEST_S:
                return

    def used_today(self) -> int:
        """Count the requests that this machine's processes began since 00:00 UTC."""
        with self._locked() as descriptor:
            return self._read(descriptor).used

    def _reserve(self, interval_s: float | None, *, requests: int) -> float:
        with self._locked() as descriptor:
            record = self._read(descriptor)
            now = self._clock()
            start = (
                record.next_start if _is_ahead(record.next_start, now, _LONGEST_QUEUE_S) else now
            )
            interval_s = interval_s or self._interval_s
            if _is_ahead(record.strained_until, now, _STRAINED_FOR_S):
                interval_s = max(interval_s, _STRAINED_INTERVAL_S)
            used = record.used + requests
            self._write(descriptor, record._replace(next_start=start + interval_s, used=used))
            return start

    def _tell_strain(self) -> None:
        with self._locked() as descriptor:
            until = self._clock() + _STRAINED_FOR_S
            self._write(descriptor, self._read(descriptor)._replace(strained_until=until))

    def _read(self, descriptor: int) -> _Record:
        stored = os.pread(descriptor, _RECORD.size, 0)
        day = self._today().toordinal()
        if len(stored) != _RECORD.size:
            return _Record(day=day)
        record = _Record(*_RECORD.unpack(stored))
        return record if record.day == day else record._replace(day=day, used=0)

    def _write(self, descriptor: int, record: _Record) -> None:
        os.pwrite(descriptor, _RECORD.pack(*record), 0)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, _PRIVATE_FILE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # held for microseconds by whoever has it
            yield descriptor
        finally:
            os.close(descriptor)


def _is_ahead(moment: float, now: float, most_s: float) -> bool:
    return now < moment <= now + most_s
