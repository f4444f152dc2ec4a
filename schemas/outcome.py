"""What came of an export: the one JSON document that the command line prints."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Status(StrEnum):
    """How an export ended."""

    COMPLETED = "completed"
    COMPLETED_WITH_REJECTS = "completed_with_rejects"
    FAILED = "failed"
    INCOMPLETE = "incomplete"
    NOTHING_TO_DO = "nothing_to_do"


class Counts(BaseModel):
    """Profiles by verdict, and contacts by what Constant Contact counted of them.

    `profiles_in_segment = sent + rejected + duplicates` holds in every outcome.
    """

    model_config = ConfigDict(frozen=True)

    profiles_in_segment: int = 0
    sent: int = 0
    rejected: int = 0
    duplicates: int = 0
    amended: int = 0
    imported: int = 0
    cannot_add_to_list: int = 0
    api_errors: int = 0
    api_correctable: int = 0


class BatchState(StrEnum):
    """Where a batch stands: the states of its activity, and those before there is one."""

    INITIALIZED = "initialized"
    PROCESSING = "processing"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    UNKNOWN = "unknown"
    NOT_SENT = "not_sent"
    REFUSED = "refused"

    @property
    def is_pending(self) -> bool:
        """Say whether Constant Contact is still at work on it."""
        return self in {BatchState.INITIALIZED, BatchState.PROCESSING, BatchState.UNKNOWN}

    @property
    def is_under_way(self) -> bool:
        """Say whether it is being imported, by a word of Constant Contact that we know."""
        return self in {BatchState.INITIALIZED, BatchState.PROCESSING}

    @property
    def is_lost(self) -> bool:
        """Say whether its contacts did not arrive, though they were sent."""
        return self in {
            BatchState.CANCELLED,
            BatchState.FAILED,
            BatchState.TIMED_OUT,
            BatchState.REFUSED,
        }


class BatchOutcome(BaseModel):
    """One contact batch and the activity that imported it; `bytes` is the CSV body's size.

    The five counters are Constant Contact's own; None where it did not give them.
    `items_total_count` counts the file's header as well.
    """

    model_config = ConfigDict(frozen=True)

    file_name: str
    rows: int
    bytes: int
    activity_id: str | None = None
    state: BatchState
    already_accepted: bool = False
    items_total_count: int | None = None
    person_count: int | None = None
    error_count: int | None = None
    correctable_count: int | None = None
    cannot_add_to_list_count: int | None = None
    activity_errors: int = 0

    @property
    def imported_rows(self) -> int:
        """Count the contacts that are in the list now, as far as Constant Contact tells."""
        if self.state is not BatchState.COMPLETED:
            return 0
        return max(0, self.rows - self.unexplained_rows - self._errors - self._unsubscribed)

    @property
    def unexplained_rows(self) -> int:
        """Count the contacts that a completed import neither took nor reported.

        The contract calls `person_count` "the total number of contacts in the import file" and
        does not say whether those with errors, or unsubscribed, are among them: each reading is
        accepted. Without a `person_count` only a total that is too small speaks against the import.
        """
        if self.state is not BatchState.COMPLETED:
            return 0
        total = self.items_total_count
        # "The total number of rows, including the header row, in the import file": fewer than its
        # contacts alone were not all read. Fewer than `person_count`, or none, is no count of rows.
        if total and (self.person_count or 0) <= total < self.rows:
            return self.rows + 1 - total
        if self.person_count is None:
            return 0
        reported = {0, self._errors, self._unsubscribed, self._errors + self._unsubscribed}
        missing = self.rows - self.person_count
        return 0 if missing in reported else max(0, missing - self._errors - self._unsubscribed)

    @property
    def unexplained_errors(self) -> int:
        """Count the activity's error messages beyond what its counters tell of."""
        return max(0, self.activity_errors - self._errors - self._unsubscribed)

    @property
    def _errors(self) -> int:
        return (self.error_count or 0) + (self.correctable_count or 0)

    @property
    def _unsubscribed(self) -> int:
        return self.cannot_add_to_list_count or 0


class RequestCounts(BaseModel):
    """Requests to the API by purpose; retries and throttled answers are part of the total."""

    model_config = ConfigDict(frozen=True)

    total: int = 0
    uploads: int = 0
    polls: int = 0
    throttled: int = 0
    retried: int = 0


class ExportOutcome(BaseModel):
    """The outcome of one export run. Keys may be added, never renamed.

    `refused` says that the run ended before anything was uploaded because of what was asked;
    `imported` are the contacts of completed imports without those that Constant Contact counted as
    errors or unsubscribed. `lacks_quota` says that it ended as the day's requests do not suffice.
    """

    model_config = ConfigDict(frozen=True)

    status: Status
    message: str
    refused: bool = False
    lacks_quota: bool = False
    delivery: str
    list_id: str
    started_at: datetime
    finished_at: datetime
    counts: Counts
    reject_reasons: dict[str, int] = {}
    amend_reasons: dict[str, int] = {}
    batches: tuple[BatchOutcome, ...] = ()
    requests: RequestCounts
    rejects_path: str | None = None
    amended_path: str | None = None
    not_imported_path: str | None = None
    report_path: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def ended_well(self) -> bool:
        """Say whether everything that was to be delivered is."""
        return self.status not in {Status.FAILED, Status.INCOMPLETE}
