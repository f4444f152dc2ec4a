"""How a person follows a run on standard error: bars on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from constant_contact import ApiEvent, EventKind
from tasks.session import Progress as StageProgress
from tasks.session import Stage

PLAIN_LINE_EVERY_S = 5.0


class Watcher(Protocol):
    """Whoever wants to be told how a run goes on; called from any thread."""

    def say(self, line: str) -> None:
        """Tell one thing."""
        ...

    def on_progress(self, progress: StageProgress) -> None:
        """Tell how far a stage is."""
        ...

    def on_event(self, event: ApiEvent) -> None:
        """Tell why the client waits or repeats."""
        ...


class _Bars:
    """Bars that move, for a terminal."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[Stage, TaskID] = {}

    def say(self, line: str) -> None:
        self._bars.console.print(line, highlight=False, markup=False)

    def on_progress(self, progress: StageProgress) -> None:
        if progress.stage not in self._tasks:
            self._tasks[progress.stage] = self._bars.add_task(progress.stage.value, unit="")
        self._bars.update(
            self._tasks[progress.stage],
            completed=progress.done,
            total=progress.total,
            unit=progress.unit,
        )

    def on_event(self, event: ApiEvent) -> None:
        if (line := _phrase_event(event)) is not None:
            self.say(line)


class _Lines:
    """Lines that scroll, for a log file: one when a stage begins and ends, some in between."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._write = write
        self._clock = clock
        self._written: StageProgress | None = None
        self._last_line_at = float("-inf")

    def say(self, line: str) -> None:
        self._write(line)

    def on_progress(self, progress: StageProgress) -> None:
        if progress == self._written:
            return
        is_new = self._written is None or progress.stage is not self._written.stage
        is_complete = progress.total is not None and progress.done >= progress.total
        is_due = self._clock() - self._last_line_at >= PLAIN_LINE_EVERY_S
        if is_new or is_complete or is_due:
            self._written = progress
            self._last_line_at = self._clock()
            of_total = "" if progress.total is None else f" of {progress.total:,}"
            self._write(f"{progress.stage.value}: {progress.done:,}{of_total} {progress.unit}")

    def on_event(self, event: ApiEvent) -> None:
        if (line := _phrase_event(event)) is not None:
            self._write(line)


def plain_lines(write: Callable[[str], None], clock: Callable[[], float]) -> Watcher:
    """Give a watcher that writes lines; `clock` in seconds, to write not too often."""
    return _Lines(write, clock)


@contextmanager
def watching(console: Console) -> Iterator[Watcher]:
    """Give a watcher that suits the console: bars on a terminal, lines elsewhere."""
    if not console.is_terminal:
        yield plain_lines(
            lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True),
            time.monotonic,
        )
        return
    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bars:
        yield _Bars(bars)


def _phrase_event(event: ApiEvent) -> str | None:
    match event.kind:
        case EventKind.THROTTLED:
            return f"Constant Contact asks us to slow down; waiting {event.wait_s:.1f} s"
        case EventKind.QUEUE_FULL:
            return f"The account's activity queue is full; looking again in {event.wait_s:.0f} s"
        case EventKind.RETRY:
            return f"{event.what}: {event.reason}; trying again in {event.wait_s:.1f} s"
        case EventKind.RECONCILE:
            return f"{event.what}: {event.reason}; checking whether it arrived"
        case EventKind.REFRESH:
            return None
