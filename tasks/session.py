"""What the tasks of one run share inside its process, so that none of it is a task parameter.

A client holds secrets and a batch holds personal data; Prefect keeps parameters and results.
So tasks take ids and counts, and find the rest here.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from constant_contact import Activity, ApiEvent, ConstantContact
from pipeline import ContactBatch, Prepared
from pipeline.outcome import Stop
from schemas.export import ExportRequest
from schemas.outcome import BatchOutcome, BatchState, ExportOutcome, RequestCounts
from tasks.history import ExportPast
from tasks.leases import Lease
from tasks.quota import DailyQuota

BatchKey = tuple[int, int]
"""A batch's number, and how many contacts of the delivery go before it: parts share a number."""


class Stage(StrEnum):
    """The stages of a run as a person follows them."""

    PREPARE = "Preparing contacts"
    UPLOAD = "Uploading batches"
    IMPORT = "Waiting for imports"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage is; `total` is None while it is not known."""

    stage: Stage
    done: int
    total: int | None
    unit: str


@dataclass(frozen=True, slots=True)
class Handover:
    """What a caller in the same process gives to a run beside its parameters.

    `prepared` is a preparation that was begun before the run (while an API was still starting),
    with its rejects in `report_dir`; the window begins with `started_at`, where it is given; the
    listeners are told how the run goes on, and `on_outcome` what came of it, also when it was
    stopped. With `ends_when_stopped` a run that is cancelled ends by itself, with its outcome;
    else it tells its outcome and lets the cancellation go on. With `on_cancel`, which is told of
    it, the run itself looks whether it is cancelled in Prefect. `clock` is in epoch seconds.
    """

    started_at: datetime | None = None
    report_dir: Path | None = None
    prepared: Future[Prepared] | None = None
    on_progress: Callable[[Progress], None] = lambda _progress: None
    on_event: Callable[[ApiEvent], None] = lambda _event: None
    on_note: Callable[[str], None] = lambda _remark: None
    on_outcome: Callable[[ExportOutcome], None] = lambda _outcome: None
    on_cancel: Callable[[], None] | None = None
    ends_when_stopped: bool = False
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(slots=True)
class ExportSession:
    """One run: what it was asked, what it holds open, and what it knows so far.

    Attributes:
        lease: of this delivery, over all machines that share a Prefect server.
        repeat: how often the delivery was sent before on purpose (`--again`).
        cut_off_repeat: the repeat that an earlier run was sending when it was cut off.
        accepted: activities of earlier runs that have not failed, by their batch's number and
            digest.
        earlier_name: the export's name in the file names of earlier runs, which is kept.
        has_read_journal: what earlier runs got accepted is known.
        earlier_ids: all activities that ever carried a name of this repeat.
        batches: by number and place; the parts of a batch that was refused take its place.
        waiting: batches under way, with their bodies.
        begun: batches whose request has begun, and so may have arrived.
        named_lines: lines of a batch's file that its activity names as errors.
        role_addresses: how many contacts of a batch, by its number, have the address of a role.
        refused: positions in the delivery of the contacts refused one by one.
        one_line_each: batches whose contacts are a line each, so that lines name contacts.
        part_requests: spent on parts of refused batches, beyond what each has of its own.
        halving_is_pointless: everything was refused, whoever was in it.
        has_waited: an import was still under way during this run.
        has_told_refusals: the reports name who was refused.
        is_through: all steps are taken, so that a stop has nothing left to stop.
        outcome: what the run came to, once that is told.
        api_url: the service that the run talks to, once it does.
        past: which export the run is of on Prefect's side, and how its runs before went.
        told: the stages that Prefect has been told of.
    """

    request: ExportRequest
    handover: Handover
    started_at: datetime
    report_dir: Path | None = None
    client: ConstantContact | None = None
    list_id: str = ""
    list_name: str = ""
    contact_allowance: int | None = None
    quota: DailyQuota | None = None
    lease: Lease | None = None
    prepared: Prepared | None = None
    delivery: str = ""
    repeat: int = 0
    cut_off_repeat: int = 0
    accepted: dict[tuple[int, str], list[Activity]] = field(default_factory=dict)
    earlier_name: str = ""
    has_read_journal: bool = False
    earlier_ids: frozenset[str] = frozenset()
    batches: dict[BatchKey, BatchOutcome] = field(default_factory=dict)
    waiting: dict[BatchKey, ContactBatch] = field(default_factory=dict)
    begun: set[BatchKey] = field(default_factory=set)
    named_lines: dict[BatchKey, tuple[int, ...]] = field(default_factory=dict)
    role_addresses: dict[int, int] = field(default_factory=dict)
    refused: list[int] = field(default_factory=list)
    one_line_each: set[BatchKey] = field(default_factory=set)
    part_requests: int = 0
    halving_is_pointless: bool = False
    not_imported_path: Path | None = None
    all_cut: bool = False
    has_waited: bool = False
    has_ended_well: bool = False
    has_told_refusals: bool = False
    is_through: bool = False
    outcome: ExportOutcome | None = None
    stop: Stop | None = None
    api_url: str = ""
    past: ExportPast | None = None
    told: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    progress: dict[Stage, Progress] = field(default_factory=dict)

    @property
    def deadline(self) -> datetime:
        """Tell when the window ends."""
        return self.started_at + timedelta(minutes=self.request.window_minutes)

    def now(self) -> datetime:
        """Tell the time by the run's clock."""
        return datetime.fromtimestamp(self.handover.clock(), UTC)

    @property
    def request_counts(self) -> RequestCounts:
        """Count the API requests of this run so far."""
        return self.client.request_counts if self.client else RequestCounts()

    @property
    def export_name(self) -> str:
        """Name the export as its file names begin, also when it was called otherwise before.

        A name of another length would cut the batches elsewhere.
        """
        return self.earlier_name or self.require_prepared().export_name

    @property
    def has_uploaded(self) -> bool:
        """Say whether anything of this delivery has been accepted, or may have been."""
        return any(
            batch.activity_id is not None or batch.state is BatchState.UNKNOWN
            for batch in self.batches.values()
        )

    def tell(self, progress: Progress) -> None:
        """Let everybody who follows the run know how far a stage is; called from any thread."""
        self.progress[progress.stage] = progress
        self.handover.on_progress(progress)

    def note(self, remark: str) -> None:
        """Keep a remark for the report, once."""
        if remark not in self.notes:
            self.notes.append(remark)
            self.handover.on_note(remark)

    def require_client(self) -> ConstantContact:
        """Return the open client; a run opens it before its first task that needs one."""
        if self.client is None:
            raise RuntimeError("the session has no client yet")
        return self.client

    def require_prepared(self) -> Prepared:
        """Return the prepared contacts; a run prepares them before its first batch."""
        if self.prepared is None:
            raise RuntimeError("the session has no prepared contacts yet")
        return self.prepared


_handover: ContextVar[Handover | None] = ContextVar("handover", default=None)
_session: ContextVar[ExportSession] = ContextVar("session")


@contextmanager
def handing_over(handover: Handover) -> Iterator[None]:
    """Hand something over to the run that is called inside this block."""
    reset = _handover.set(handover)
    try:
        yield
    finally:
        _handover.reset(reset)


@contextmanager
def new_session(request: ExportRequest) -> Iterator[ExportSession]:
    """Begin a run; inside this block `current_session` gives it to every task."""
    # Without a level of its own it has the root logger's, which hides what is only to be known.
    logging.getLogger("segment_export").setLevel(logging.INFO)
    handover = _handover.get() or Handover()
    started_at = handover.started_at or datetime.fromtimestamp(handover.clock(), UTC)
    session = ExportSession(
        request=request.dated(started_at), handover=handover, started_at=started_at
    )
    reset = _session.set(session)
    try:
        yield session
    finally:
        _session.reset(reset)


def current_session() -> ExportSession:
    """Return the session of the run that this task belongs to."""
    return _session.get()
