"""What an export would do: the one JSON document that `segment-export plan` prints."""

from pydantic import BaseModel, ConfigDict

from schemas.outcome import BatchState, Counts


class PlannedBatch(BaseModel):
    """A contact batch as it would be sent; `bytes` is the CSV body's size."""

    model_config = ConfigDict(frozen=True)

    file_name: str
    rows: int
    bytes: int
    state: BatchState
    already_accepted: bool


class PlannedRequests(BaseModel):
    """Requests that the export would need, against the day's quota of its API key.

    `used_today` is what this installation has counted; others who use the key are not in it.
    """

    model_config = ConfigDict(frozen=True)

    needed: int
    uploads: int
    used_today: int
    daily: int


class PlannedTime(BaseModel):
    """Seconds that the export would take; `import_s` is None where nothing tells it beforehand.

    `upload_s` is the pace of the requests; `import_s` is what Constant Contact took for as many
    contacts in the imports that the account still shows.
    """

    model_config = ConfigDict(frozen=True)

    upload_s: float
    import_s: float | None
    window_s: float

    @property
    def expected_s(self) -> float:
        """Add up what is known."""
        return self.upload_s + (self.import_s or 0.0)


class ExportPlan(BaseModel):
    """What an export would do. Keys may be added, never renamed.

    `obstacle` is why it would not deliver everything as things stand; empty when it would.
    """

    model_config = ConfigDict(frozen=True)

    message: str
    obstacle: str = ""
    refused: bool = False
    delivery: str
    list_id: str
    list_name: str
    counts: Counts
    reject_reasons: dict[str, int] = {}
    amend_reasons: dict[str, int] = {}
    batches: tuple[PlannedBatch, ...] = ()
    requests: PlannedRequests
    time: PlannedTime
    rejects_path: str | None = None
    amended_path: str | None = None
    notes: tuple[str, ...] = ()
