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


class BatchOutcome(BaseModel):
    """One contact batch and the activity that imported it; `bytes` is the CSV body's size."""

    model_config = ConfigDict(frozen=True)

    file_name: str
    rows: int
    bytes: int
    activity_id: str | None = None
    state: str
    already_accepted: bool = False


class RequestCounts(BaseModel):
    """Requests to the API by purpose; retries and throttled answers are part of the total."""

    model_config = ConfigDict(frozen=True)

    total: int = 0
    uploads: int = 0
    polls: int = 0
    throttled: int = 0
    retried: int = 0


class ExportOutcome(BaseModel):
    """The outcome of one export run. Keys may be added, never renamed."""

    model_config = ConfigDict(frozen=True)

    status: Status
    message: str
    delivery: str
    list_id: str
    started_at: datetime
    finished_at: datetime
    counts: Counts
    reject_reasons: dict[str, int] = {}
    batches: tuple[BatchOutcome, ...] = ()
    requests: RequestCounts
    rejects_path: str | None = None
    amended_path: str | None = None
    report_path: str | None = None
