"""A backfill: a range of snapshots of one export, as it is asked for and as it stands."""

from enum import StrEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from schemas.dates import is_date

Every = Literal["day", "week", "month"]
MOST_RUNS = 31

_DATE = r"^\d{4}-\d{2}-\d{2}$"


class SnapshotRange(BaseModel):
    """Which snapshots to deliver, oldest first, and what to do about those that cannot be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    first_date: str = Field(
        pattern=_DATE,
        title="From",
        description="The date (YYYY-MM-DD) of the oldest snapshot.",
        json_schema_extra={"position": 1},
    )
    last_date: str = Field(
        pattern=_DATE,
        title="To",
        description="The date of the newest snapshot; it is delivered too.",
        json_schema_extra={"position": 2},
    )
    every: Every = Field(
        default="day",
        title="Every",
        description="How far the snapshots are apart, counted from the oldest.",
        json_schema_extra={"position": 3},
    )
    keep_going: bool = Field(
        default=False,
        title="Keep going",
        description="Go on with the next snapshot after one that could not be delivered.",
        json_schema_extra={"position": 4},
    )
    allow_missing: bool = Field(
        default=False,
        title="Allow missing",
        description="A snapshot without files does not make the backfill incomplete.",
        json_schema_extra={"position": 5},
    )
    overwrite_newer: bool = Field(
        default=False,
        title="Overwrite newer",
        description="Deliver snapshots that are older than what the contact list has got.",
        json_schema_extra={"position": 6},
    )
    max_runs: int = Field(
        default=MOST_RUNS,
        ge=1,
        title="Most runs",
        description="A range of more snapshots than this is refused.",
        json_schema_extra={"position": 7},
    )

    @field_validator("first_date", "last_date")
    @classmethod
    def _check_date(cls, value: str) -> str:
        if not is_date(value):
            raise PydanticCustomError("snapshot_date", "there is no such date")
        return value

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.last_date < self.first_date:
            raise PydanticCustomError("range", "the range ends before it begins")
        return self


class BackfillRequest(SnapshotRange):
    """A range of snapshots of a saved export: what the run form shows."""

    export: str = Field(
        min_length=1,
        title="Saved export",
        description="The name of the saved export whose paths hold {as_of}.",
        json_schema_extra={"position": 0},
    )
    plan_only: bool = Field(
        default=False,
        title="Plan only",
        description="Show what would be done, and send nothing.",
        json_schema_extra={"position": 8},
    )


class SnapshotState(StrEnum):
    """Where one snapshot stands."""

    DELIVERED = "delivered"
    UNDER_WAY = "under_way"
    FAILED = "failed"
    NOT_BEGUN = "not_begun"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    OVERTAKEN = "overtaken"

    @property
    def is_due(self) -> bool:
        """Say whether a backfill still has to see to it."""
        return self in {SnapshotState.UNDER_WAY, SnapshotState.FAILED, SnapshotState.NOT_BEGUN}


class Snapshot(BaseModel):
    """One snapshot of a backfill.

    `rows` are the profiles it holds at most for the export; `requests` is what its delivery needs
    at most as a rule, and `day` on which day of the backfill, from 1, there is quota for it.
    `attempts` counts its runs so far; `message` is how the last one ended, or why there is none.
    `lacks_quota` says that it ended as the day's requests do not suffice, `was_cancelled` that
    somebody cancelled it in Prefect.
    """

    model_config = ConfigDict(frozen=True)

    date: str
    state: SnapshotState
    delivery: str = ""
    rows: int = 0
    requests: int = 0
    day: int = 0
    attempts: int = 0
    run_name: str = ""
    run_id: str = ""
    message: str = ""
    lacks_quota: bool = False
    was_cancelled: bool = False


class BackfillStatus(StrEnum):
    """How a backfill stands as a whole."""

    PLANNED = "planned"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"


class BackfillRequests(BaseModel):
    """Requests that the snapshots to come need, against the day's quota of the API key."""

    model_config = ConfigDict(frozen=True)

    needed: int
    used_today: int
    daily: int
    days: int


class BackfillOutcome(BaseModel):
    """How a backfill stands. Keys may be added, never renamed."""

    model_config = ConfigDict(frozen=True)

    status: BackfillStatus
    message: str
    refused: bool = False
    backfill_id: str
    export: str
    list_id: str
    list_name: str
    snapshots: tuple[Snapshot, ...]
    requests: BackfillRequests

    @property
    def ended_well(self) -> bool:
        """Say whether everything that was to be delivered is, or would be."""
        return self.status is not BackfillStatus.INCOMPLETE
