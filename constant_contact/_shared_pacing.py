"""Pace requests over all processes of this machine that share an API key."""

import asyncio
import fcntl
import os
import struct
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from constant_contact._pacing import REQUEST_INTERVAL_S

_MOMENT = struct.Struct("<d")
_PRIVATE_FILE = 0o600

# A busy process may sleep past its moment. Starting too late it would come too close to the next
# one's, so it takes another; but on a machine that is always late it has to go at last.
_LATEST_S = 0.05
_MOST_TRIES = 10

# 110 requests in line, while a process has a handful under way. What lies further ahead is left
# over from before a restart, and one that lies nearer holds nobody up for longer than this.
_LONGEST_QUEUE_S = 30.0


class MachinePacer:
    """Space request starts evenly over every process that opens the same file.

    The file holds one number, when the next request may start; who reads it under the file's
    lock moves it on by `interval_s` and waits for that moment. The kernel lets go of the lock
    when its holder dies. `clock` must be the same for all processes, as CLOCK_MONOTONIC is until
    the machine restarts; a moment further ahead than requests could have queued up is left over
    from before.
    """

    def __init__(
        self,
        file: Path,
        *,
        interval_s: float = REQUEST_INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._file = file
        self._interval_s = interval_s
        self._clock = clock
        self._sleep = sleep

    async def acquire(self) -> None:
        """Return when the next request may start."""
        for _ in range(_MOST_TRIES):
            start = self._reserve()
            # A loop, as a sleep may end a little early.
            while (wait_s := start - self._clock()) > 0:
                await self._sleep(wait_s)
            if self._clock() - start <= _LATEST_S:
                return

    def _reserve(self) -> float:
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, _PRIVATE_FILE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # held for microseconds by whoever has it
            stored = os.pread(descriptor, _MOMENT.size, 0)
            now = self._clock()
            free = _MOMENT.unpack(stored)[0] if len(stored) == _MOMENT.size else now
            start = free if now < free < now + _LONGEST_QUEUE_S else now
            os.pwrite(descriptor, _MOMENT.pack(start + self._interval_s), 0)
            return start
        finally:
            os.close(descriptor)
