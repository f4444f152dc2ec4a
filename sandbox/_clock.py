"""Time as the sandbox sees it, and the forms in which it shows it."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the sandbox asks for the time."""

    def utc_s(self) -> float:
        """Return seconds since 1970-01-01T00:00Z."""

    def monotonic_s(self) -> float:
        """Return seconds that never run backwards."""


class SystemClock:
    """The computer's own clock."""

    def utc_s(self) -> float:
        """Return seconds since 1970-01-01T00:00Z."""
        return time.time()

    def monotonic_s(self) -> float:
        """Return seconds that never run backwards."""
        return time.monotonic()


class ManualClock:
    """A clock that stands still until `advance` moves it. Starts at noon UTC of 2026-03-02."""

    def __init__(self, start: datetime = datetime(2026, 3, 2, 12, tzinfo=UTC)) -> None:
        self._start_s = start.timestamp()
        self._elapsed_s = 0.0

    def advance(self, seconds: float) -> None:
        """Move the clock on."""
        self._elapsed_s += seconds

    def utc_s(self) -> float:
        """Return seconds since 1970-01-01T00:00Z."""
        return self._start_s + self._elapsed_s

    def monotonic_s(self) -> float:
        """Return seconds since this clock was made."""
        return self._elapsed_s


def show_time(utc_s: float) -> str:
    """Return a moment as the contract shows it: `2016-01-23T13:48:44.108Z`."""
    moment = datetime.fromtimestamp(utc_s, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def show_date(utc_s: float) -> str:
    """Return a moment's UTC date: `2016-07-08`."""
    return f"{datetime.fromtimestamp(utc_s, UTC):%Y-%m-%d}"
