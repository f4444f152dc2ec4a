"""A backfill as it goes: which snapshot comes next, and what all of it amounts to."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from constant_contact import DAILY_REQUESTS
from pipeline.delivery import delivery_key
from pipeline.outcome import Stop
from schemas.backfill import (
    BackfillOutcome,
    BackfillRequests,
    BackfillStatus,
    Snapshot,
    SnapshotRange,
    SnapshotState,
)
from schemas.export import ExportRequest
from tasks.backfill_tables import StatusTable
from tasks.newest_mark import read_newest
from tasks.quota import DailyQuota, forecast_quota

_log = logging.getLogger("segment_export.backfill")

DATES_SHOWN = 5
GO_ON = "Run the same backfill again to go on."
STOPPED_EARLY = f"The backfill was stopped before it sent anything. {GO_ON}"

# What makes an export what it is; the others say how it is carried out.
_IDENTITY = {
    "connection", "list_id", "profiles", "segments", "email", "first_name", "last_name",
    "attributes", "segments_column", "memberships", "customer_id", "newest_by",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class BackfillListener:
    """Who follows a backfill in this process.

    `ends_when_stopped`: a cancellation is a person's wish, and the backfill ends with an outcome,
    which `on_outcome` is told. With `on_cancel`, which is told of it, the backfill itself looks
    whether it is cancelled in Prefect.
    """

    on_plan: Callable[[BackfillOutcome], None] = lambda _plan: None
    on_note: Callable[[str], None] = _log.info
    on_outcome: Callable[[BackfillOutcome], None] = lambda _outcome: None
    on_cancel: Callable[[], None] | None = None
    ends_when_stopped: bool = False


@dataclass(slots=True)
class Backfill:
    """One backfill: what is asked for, and what is known so far.

    Attributes:
        asked: the range, and what to do about what cannot be delivered.
        template: the export; each snapshot's date is put into it.
        export: the name of the saved export; empty where there is none.
        runs_elsewhere: workers carry out the runs, through the saved export.
        folder: where relative paths of the saved export begin.
        snapshots: oldest first, as they stand.
        position: of the snapshot that comes next.
        stop: why it ended before its last snapshot.
        was_stopped: a person ended it.
        refusal: why nothing was begun.
        only_dates: the snapshots in question, in place of the whole range.
        told: remarks that were made, each of them once.
    """

    asked: SnapshotRange
    template: ExportRequest
    export: str = ""
    runs_elsewhere: bool = False
    folder: Path | None = None
    listener: BackfillListener = field(default_factory=BackfillListener)
    snapshots: list[Snapshot] = field(default_factory=list)
    list_id: str = ""
    list_name: str = ""
    quota: DailyQuota | None = None
    used_today: int = 0
    position: int = 0
    stop: str = ""
    was_stopped: bool = False
    refusal: Stop | None = None
    only_dates: tuple[str, ...] = ()
    told: set[str] = field(default_factory=set)
    table: StatusTable = field(default_factory=StatusTable)

    @property
    def backfill_id(self) -> str:
        """Name what is backfilled: the same for every range of the same export."""
        asked = self.template.model_dump(mode="json", include=_IDENTITY)
        return delivery_key({"export": self.export, "request": asked})

    @property
    def overwrites_newer(self) -> bool:
        """Say whether snapshots go that are older than what the list has got."""
        return self.asked.overwrite_newer or self.template.overwrite_newer

    def dated(self, as_of: str) -> ExportRequest:
        """Give the export of one snapshot, its files where this process finds them."""
        paths = {
            name: str(self.folder / location)
            for name in ("profiles", "memberships")
            if self.folder and (location := getattr(self.template, name)) and "://" not in location
        }
        changes = {
            "as_of": as_of,
            "again": False,
            "overwrite_newer": self.overwrites_newer,
            "report_dir": self.report_dir(as_of),
        }
        return self.template.model_copy(update={**paths, **changes})

    def report_dir(self, as_of: str) -> str:
        """Give each snapshot a report folder of its own, where the export names one."""
        named = self.template.report_dir
        return str(Path(named, as_of)) if named else ""

    def settle(self, snapshot: Snapshot) -> None:
        """Note where a snapshot stands now, in the place of what was known of it."""
        self.snapshots = [snapshot if old.date == snapshot.date else old for old in self.snapshots]


async def choose_next(backfill: Backfill, *, now: Callable[[], datetime]) -> Snapshot | None:
    """Choose the snapshot that comes next; None at the end, or where the backfill has to stop.

    Raises:
        ExportRefused: Prefect's API cannot tell which snapshot the list has got last.
    """
    newest = None
    if not backfill.overwrites_newer:
        newest = await read_newest(backfill.list_id, backfill.template)
    while not backfill.stop and backfill.position < len(backfill.snapshots):
        snapshot = backfill.snapshots[backfill.position]
        if snapshot.state is SnapshotState.UNREADABLE and not backfill.asked.keep_going:
            backfill.stop = f"The snapshot of {snapshot.date} cannot be read. {snapshot.message}"
            break
        if snapshot.state.is_due and snapshot.state is not SnapshotState.UNDER_WAY:
            if is_overtaken(snapshot.date, newest):
                snapshot = overtake(snapshot, newest)
                backfill.settle(snapshot)
            elif trouble := await _find_lack_of_quota(backfill, snapshot, now()):
                backfill.stop = f"The next snapshot is {snapshot.date}. {trouble}"
                break
        backfill.position += 1
        if snapshot.state.is_due:
            return snapshot
    return None


async def _find_lack_of_quota(
    backfill: Backfill, snapshot: Snapshot, moment: datetime
) -> str | None:
    if backfill.quota is None:
        return None
    backfill.used_today = await backfill.quota.count_used()
    return forecast_quota(
        snapshot.requests,
        used=backfill.used_today,
        daily=backfill.quota.daily,
        now=moment.astimezone(UTC),
    )


def note_end(backfill: Backfill, snapshot: Snapshot) -> None:
    """Note how the run of a snapshot has ended, and stop where the next must not begin."""
    backfill.settle(snapshot)
    if snapshot.state is SnapshotState.DELIVERED or backfill.stop:
        return
    if snapshot.was_cancelled:
        backfill.was_stopped = True
        backfill.stop = f"The run of the snapshot of {snapshot.date} was cancelled."
    elif not backfill.asked.keep_going or snapshot.lacks_quota:
        backfill.stop = f"The snapshot of {snapshot.date} was not delivered: {snapshot.message}"


def note_stopped(backfill: Backfill) -> None:
    """Note that somebody stops a backfill, where anything is left of it to stop."""
    due = [snapshot for snapshot in backfill.snapshots if snapshot.state.is_due]
    if backfill.snapshots and not due:
        return
    backfill.was_stopped = True
    if not due:
        backfill.refusal = Stop(STOPPED_EARLY, can_continue=True)
        return
    running = [one for one in due if one.state is SnapshotState.UNDER_WAY]
    goes_on = f"; its run {running[0].run_name} is a worker's, and goes on" if running else ""
    backfill.stop = f"The backfill was stopped{goes_on}."


def is_overtaken(as_of: str, newest: date | None) -> bool:
    """Say whether the list has got a newer snapshot."""
    return newest is not None and date.fromisoformat(as_of) < newest


def overtake(snapshot: Snapshot, newest: date | None) -> Snapshot:
    """Mark a snapshot as older than what the list has got."""
    return snapshot.model_copy(
        update={
            "state": SnapshotState.OVERTAKEN,
            "requests": 0,
            "day": 0,
            "message": f"The list has got the contacts of {newest}, which are newer.",
        }
    )


def conclude_backfill(backfill: Backfill, *, is_plan: bool = False) -> BackfillOutcome:
    """Put together how a backfill stands."""
    due = [snapshot for snapshot in backfill.snapshots if snapshot.state.is_due]
    accepted = {SnapshotState.DELIVERED}
    if backfill.asked.allow_missing:
        accepted.add(SnapshotState.MISSING)
    if is_plan:
        accepted |= {state for state in SnapshotState if state.is_due}
    states = {snapshot.state for snapshot in backfill.snapshots}
    is_well = states <= accepted and states != {SnapshotState.MISSING}
    refusal = backfill.refusal
    status = BackfillStatus.PLANNED if is_plan else BackfillStatus.COMPLETED
    return BackfillOutcome(
        status=status if is_well and refusal is None else BackfillStatus.INCOMPLETE,
        message=refusal.reason if refusal else _phrase(backfill, due, is_plan=is_plan),
        refused=refusal is not None and refusal.is_refusal,
        backfill_id=backfill.backfill_id,
        export=backfill.export,
        list_id=backfill.list_id,
        list_name=backfill.list_name,
        snapshots=tuple(backfill.snapshots),
        requests=BackfillRequests(
            needed=sum(snapshot.requests for snapshot in due),
            used_today=backfill.used_today,
            daily=backfill.quota.daily if backfill.quota else DAILY_REQUESTS,
            days=max((snapshot.day for snapshot in due), default=0),
        ),
    )


def _phrase(backfill: Backfill, due: list[Snapshot], *, is_plan: bool) -> str:
    dates: dict[SnapshotState, list[str]] = {state: [] for state in SnapshotState}
    for snapshot in backfill.snapshots:
        dates[snapshot.state].append(snapshot.date)
    done, total = len(dates[SnapshotState.DELIVERED]), len(backfill.snapshots)
    parts = [f"{done:,} of {total:,} snapshots are delivered to list “{backfill.list_name}”"]
    if is_plan and due:
        needed = sum(snapshot.requests for snapshot in due)
        days = max(snapshot.day for snapshot in due)
        parts.append(
            f"{len(due):,} would be, from {due[0].date} to {due[-1].date}, in about {needed:,} "
            f"requests on {f'{days:,} days' if days > 1 else 'one day'}"
        )
    elif is_plan:
        parts.append("nothing would be sent")
    for state, words in (
        (SnapshotState.MISSING, "missing"),
        (SnapshotState.UNREADABLE, "unreadable"),
        (SnapshotState.FAILED, "not delivered in their last run" if is_plan else "failed"),
        (
            SnapshotState.OVERTAKEN,
            (
                "left out, as the list has got newer ones (--overwrite-newer delivers them; in "
                "the form: Overwrite newer)"
            ),
        ),
    ):
        if dates[state]:
            parts.append(f"{words}: {_shorten(dates[state])}")
    text = "; ".join(parts) + "."
    if backfill.stop:
        return f"{text} {backfill.stop} {GO_ON}"
    return text


def _shorten(dates: list[str]) -> str:
    hidden = len(dates) - DATES_SHOWN
    return ", ".join(dates[:DATES_SHOWN]) + (f" and {hidden:,} more" if hidden > 0 else "")


_listener: ContextVar[BackfillListener | None] = ContextVar("backfill_listener", default=None)
_backfill: ContextVar[Backfill] = ContextVar("backfill")


@contextmanager
def listening(listener: BackfillListener) -> Iterator[None]:
    """Follow the backfill flow that is called inside this block."""
    reset = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(reset)


def current_listener() -> BackfillListener:
    """Return who follows the backfill flow of this process, if anybody does."""
    return _listener.get() or BackfillListener()


@contextmanager
def begin_backfill(backfill: Backfill) -> Iterator[Backfill]:
    """Begin a backfill; inside this block `current_backfill` gives it to every task."""
    backfill.listener = _listener.get() or backfill.listener
    reset = _backfill.set(backfill)
    try:
        yield backfill
    finally:
        _backfill.reset(reset)


def current_backfill() -> Backfill:
    """Return the backfill that this task belongs to."""
    return _backfill.get()
