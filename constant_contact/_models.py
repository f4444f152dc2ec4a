"""What Constant Contact tells us, read tolerantly: no field is promised by its contract."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

_ADDRESS_LINES = (
    "address_line1", "address_line2", "address_line3", "city", "state_code", "state_name",
    "postal_code", "country_code",
)  # fmt: skip

_ALL_PERCENT = 100
_LINE = re.compile(r"\bline\s{1,5}(\d{1,7})\b", re.IGNORECASE | re.ASCII)


class ActivityState(StrEnum):
    """Where a background job stands; a word that we do not know counts as unfinished."""

    INITIALIZED = "initialized"
    PROCESSING = "processing"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    UNKNOWN = "unknown"

    @property
    def is_finished(self) -> bool:
        """Tell whether the job will not change any more."""
        return self is ActivityState.COMPLETED or self.is_failed

    @property
    def is_failed(self) -> bool:
        """Tell whether the job ended without importing."""
        return self in {ActivityState.CANCELLED, ActivityState.FAILED, ActivityState.TIMED_OUT}

    @classmethod
    def _missing_(cls, value: object) -> Self:
        # The contract's prose says `time_out` where its enumeration says `timed_out`.
        word = str(value).strip().lower()
        known = {str(state): state for state in cls}
        known |= {"time_out": cls("timed_out"), "canceled": cls("cancelled")}
        return known.get(word, cls("unknown"))


@dataclass(frozen=True, slots=True)
class ActivityCounters:
    """How an import's rows were counted; None where the service does not say.

    `items_total` counts the header row too. `correctable` are rows with an invalid e-mail, date
    or no address; `cannot_add_to_list` are people who have unsubscribed.
    """

    items_total: int | None = None
    person: int | None = None
    error: int | None = None
    correctable: int | None = None
    cannot_add_to_list: int | None = None

    @classmethod
    def from_json(cls, answer: object) -> Self:
        """Read the `status` object of an activity."""
        found = as_mapping(answer)
        return cls(
            items_total=read_count(found.get("items_total_count")),
            person=read_count(found.get("person_count")),
            error=read_count(found.get("error_count")),
            correctable=read_count(found.get("correctable_count")),
            cannot_add_to_list=read_count(found.get("cannot_add_to_list_count")),
        )


@dataclass(frozen=True, slots=True)
class Activity:
    """One background job of the account; kept by the service for ten days."""

    activity_id: str
    state: ActivityState = ActivityState.UNKNOWN
    source_file_name: str | None = None
    percent_done: int | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    counters: ActivityCounters = ActivityCounters()
    # The service's own words may quote a contact, so they stay out of logs.
    activity_errors: tuple[str, ...] = field(default=(), repr=False)

    @property
    def error_lines(self) -> tuple[int, ...]:
        """Name the lines of the file that errors are about; the header is line 1.

        The API does not promise such words. Older versions of it wrote "Line 2: Invalid birthday",
        and a public client reads them so; what names no line names nobody.
        """
        found = (_LINE.search(message) for message in self.activity_errors)
        return tuple(sorted({int(match[1]) for match in found if match}))

    @classmethod
    def from_json(cls, answer: object) -> Self | None:
        """Read an activity; None when it has no id, as nothing can be asked about it."""
        found = as_mapping(answer)
        activity_id = read_text(found.get("activity_id"))
        if not activity_id:
            return None
        return cls(
            activity_id=activity_id,
            state=_read_state(found),
            source_file_name=read_text(found.get("source_file_name")),
            percent_done=read_count(found.get("percent_done")),
            created_at=read_moment(found.get("created_at")),
            started_at=read_moment(found.get("started_at")),
            completed_at=read_moment(found.get("completed_at")),
            counters=ActivityCounters.from_json(found.get("status")),
            activity_errors=_read_messages(found.get("activity_errors")),
        )


@dataclass(frozen=True, slots=True)
class ImportReceipt:
    """The activity that a file became.

    `reconciled`: the answer was lost and the activity looked up.
    """

    activity: Activity
    reconciled: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """The account that a connection reaches; `encoded_account_id` is its stable identity."""

    encoded_account_id: str
    organization_name: str | None = None
    country_code: str | None = None
    time_zone_id: str | None = None
    address: str | None = None  # of the organisation, in one line; only where it was asked for

    @classmethod
    def from_json(cls, answer: object) -> Self | None:
        """Read GET /account/summary; None when it has no id, as it may be any account's."""
        found = as_mapping(answer)
        account_id = read_text(found.get("encoded_account_id"))
        if not account_id:
            return None
        country = read_text(found.get("country_code"))
        place = as_mapping(found.get("physical_address"))
        lines = [read_text(place.get(name)) for name in _ADDRESS_LINES]
        return cls(
            encoded_account_id=account_id,
            organization_name=read_text(found.get("organization_name")),
            country_code=country.upper() if country else None,
            time_zone_id=read_text(found.get("time_zone_id")),
            address=", ".join(line for line in lines if line) or None,
        )


@dataclass(frozen=True, slots=True)
class ContactList:
    """A contact list of the account."""

    list_id: str
    name: str = ""
    membership_count: int | None = None
    updated_at: datetime | None = None

    @classmethod
    def from_json(cls, answer: object) -> Self | None:
        """Read a list; None when it has no id or has been deleted."""
        found = as_mapping(answer)
        list_id = read_text(found.get("list_id"))
        if not list_id or found.get("deleted_at"):
            return None
        return cls(
            list_id=list_id,
            name=read_text(found.get("name")) or "",
            membership_count=read_count(found.get("membership_count")),
            updated_at=read_moment(found.get("updated_at")),
        )


@dataclass(frozen=True, slots=True)
class CustomField:
    """A custom field of the account; `name` is what follows `cf:` in an import's heading."""

    custom_field_id: str
    name: str
    label: str = ""
    type: str = ""

    @classmethod
    def from_json(cls, answer: object) -> Self | None:
        """Read a custom field; None when it has no name to import by."""
        found = as_mapping(answer)
        name = read_text(found.get("name"))
        if not name:
            return None
        return cls(
            custom_field_id=read_text(found.get("custom_field_id")) or "",
            name=name,
            label=read_text(found.get("label")) or "",
            type=read_text(found.get("type")) or "",
        )


def as_mapping(answer: object) -> Mapping[str, Any]:
    """Take a JSON object as it is and anything else as an empty one."""
    return answer if isinstance(answer, Mapping) else {}


def as_sequence(answer: object) -> Sequence[Any]:
    """Take a JSON array as it is and anything else as an empty one."""
    return answer if isinstance(answer, list) else ()


def read_text(value: object) -> str | None:
    """Read a text that says something; None for anything else."""
    return value if isinstance(value, str) and value.strip() else None


def read_count(value: object) -> int | None:
    """Read a count, also one written as text; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"\d{1,18}", value.strip(), re.ASCII):
        return int(value)
    return None


def read_moment(value: object) -> datetime | None:
    """Read a time in any form that the service writes: Z, -05:00, +0000, with or without fractions.

    One without a zone is taken as UTC; None for anything else.
    """
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _read_state(found: Mapping[str, Any]) -> ActivityState:
    """Read the state of an activity; one that leaves it out and counts people, has ended."""
    if found.get("state") is not None:
        return ActivityState(str(found["state"]))
    has_ended = found.get("completed_at") or read_count(found.get("percent_done")) == _ALL_PERCENT
    if has_ended and ActivityCounters.from_json(found.get("status")).person is not None:
        return ActivityState.COMPLETED
    return ActivityState.UNKNOWN


def _read_messages(value: object) -> tuple[str, ...]:
    # Strings by the contract; some derived documents and the tag activities show objects.
    messages = (
        entry if isinstance(entry, str) else as_mapping(entry).get("message")
        for entry in as_sequence(value)
    )
    return tuple(message for message in messages if isinstance(message, str))
