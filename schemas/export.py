"""An export as a person asks for it: what the run form shows and the command line fills in."""

from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from schemas.dates import is_date
from schemas.locations import HARMLESS_PATTERN, holds_secret

_DAYS_AGO = MappingProxyType({"today": 0, "yesterday": 1})


class AttributeMapping(BaseModel):
    """One further column of the profiles and the heading under which Constant Contact takes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str = Field(min_length=1, title="Column", description="A column of the profiles.")
    heading: str = Field(
        min_length=1,
        title="Constant Contact field",
        description="A heading of the CSV import such as company_name, or cf: and the name of "
        "a custom field that exists in the account.",
    )


class ExportRequest(BaseModel):
    """Which members of which segments go to which contact list, and how their columns map."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    connection: str = Field(
        title="Connection",
        description="The name of the connection to deliver through, as given to "
        "segment-export connect. An export whose connection was taken away has none, and does "
        "not run.",
        json_schema_extra={"position": 0},
    )
    list_id: str = Field(
        min_length=1,
        title="Contact list",
        description="The list's ID (a UUID), the number in the list's web address, or that "
        "address itself.",
        json_schema_extra={"position": 1},
    )
    profiles: str = Field(
        min_length=1,
        title="Unified profiles",
        description="A Parquet file, a folder, a glob, or an object-store URL (abfss://, s3://). "
        "{as_of} stands for the snapshot's date.",
        json_schema_extra={"position": 2, "pattern": HARMLESS_PATTERN},
    )
    segments: tuple[str, ...] = Field(
        min_length=1,
        title="Segments",
        description="Names of the segments to export. A customer in several goes once.",
        json_schema_extra={"position": 3},
    )
    email: str = Field(
        min_length=1,
        title="E-mail column",
        description="The column that holds the e-mail address.",
        json_schema_extra={"position": 4},
    )
    first_name: str = Field(
        default="",
        title="First name column",
        description="Leave empty to send no first names.",
        json_schema_extra={"position": 5},
    )
    last_name: str = Field(
        default="",
        title="Last name column",
        description="Leave empty to send no last names.",
        json_schema_extra={"position": 6},
    )
    attributes: tuple[AttributeMapping, ...] = Field(
        default=(),
        title="Further attributes",
        description="Further columns to send, each with the field it goes to.",
        json_schema_extra={"position": 7},
    )
    segments_column: str = Field(
        default="",
        title="Segments column",
        description="The column of the profiles that lists each customer's segments, where "
        "membership is kept there.",
        json_schema_extra={"position": 8},
    )
    memberships: str = Field(
        default="",
        title="Segment memberships",
        description="The table of memberships (a Parquet file, folder, glob or URL), or a folder "
        "with one table a segment, where membership is kept beside the profiles.",
        json_schema_extra={"position": 9, "pattern": HARMLESS_PATTERN},
    )
    customer_id: str = Field(
        default="CustomerId",
        min_length=1,
        title="Key column",
        description="The column that identifies a customer, in profiles and memberships alike.",
        json_schema_extra={"position": 10},
    )
    newest_by: str = Field(
        default="",
        title="Newest by",
        description="A date or number column: of customers who share an e-mail address the one "
        "with the highest value goes. Without it, the one with the lowest key.",
        json_schema_extra={"position": 11},
    )
    as_of: str = Field(
        default="",
        pattern=r"^(\d{4}-\d{2}-\d{2}|today|yesterday)?$",
        title="Snapshot date",
        description="The date (YYYY-MM-DD) that {as_of} in the paths stands for, or the word "
        "today or yesterday (UTC) for an export that runs by itself. Leave empty where the paths "
        "hold none.",
        json_schema_extra={"position": 12},
    )
    window_minutes: float = Field(
        default=60,
        gt=0,
        le=24 * 60,
        title="Window (minutes)",
        description="The run stops in good order at the end of it; running again continues.",
        json_schema_extra={"position": 13},
    )
    max_profiles: int = Field(
        default=1_000_000,
        ge=1,
        title="Most profiles",
        description="More profiles than this in the segments are refused before anything is sent.",
        json_schema_extra={"position": 14},
    )
    report_dir: str = Field(
        default="",
        title="Report folder",
        description="Where the report and the list of rejected profiles are written, readable by "
        "its owner only. Empty: a folder of its own under the home folder.",
        json_schema_extra={"position": 15},
    )
    again: bool = Field(
        default=False,
        title="Deliver again",
        description="Send a delivery once more that Constant Contact has already completed.",
        json_schema_extra={"position": 16},
    )
    name: str = Field(
        default="",
        max_length=60,
        title="Export name",
        description="The first part of the file names shown in Constant Contact. Empty: made "
        "from the segments.",
        json_schema_extra={"position": 17},
    )
    warn_rejects_percent: float = Field(
        default=5,
        ge=0,
        le=100,
        title="Warn above (% not delivered)",
        description="When more profiles than this are rejected, the run counts as degraded: it "
        "has delivered, and says so in an event and in a notification where those are set up.",
        json_schema_extra={"position": 18},
    )
    overwrite_newer: bool = Field(
        default=False,
        title="Overwrite newer",
        description="Deliver a snapshot that is older than what the contact list has got.",
        json_schema_extra={"position": 19},
    )

    @field_validator("as_of", mode="before")
    @classmethod
    def _read_date(cls, value: object) -> object:
        """Take a date or its text. A plain text field: Prefect's form has no empty date."""
        if isinstance(value, str) and value and value not in _DAYS_AGO and not is_date(value):
            raise PydanticCustomError(
                "snapshot_date", "give a date (YYYY-MM-DD), today or yesterday"
            )
        return value.isoformat() if isinstance(value, date) else value

    @field_validator("profiles", "memberships")
    @classmethod
    def _refuse_secret(cls, value: str) -> str:
        """Let no secret become a parameter, which Prefect stores and shows."""
        if holds_secret(value):
            raise PydanticCustomError(
                "secret_in_address",
                "the address holds a secret: take it out and put the store's credentials into the "
                "environment",
            )
        return value

    @property
    def snapshot_date(self) -> date | None:
        """Return the snapshot's date, if there is one; by today's where it is given as a word."""
        as_of = self.dated(datetime.now(UTC)).as_of
        return date.fromisoformat(as_of) if as_of else None

    def dated(self, now: datetime) -> "ExportRequest":
        """Put the date in the place of the word today or yesterday."""
        if self.as_of not in _DAYS_AGO:
            return self
        day = now.astimezone(UTC).date() - timedelta(days=_DAYS_AGO[self.as_of])
        return self.model_copy(update={"as_of": day.isoformat()})
