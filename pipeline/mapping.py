"""What an export asks for, checked for sense before a single file is opened."""

from dataclasses import dataclass
from datetime import date

from pipeline.errors import MappingInvalid, list_names, one_line, suggest
from schemas.contact import CUSTOM_FIELD_PREFIX, CUSTOM_FIELDS_MOST, HEADINGS
from schemas.export import ExportRequest
from schemas.locations import DATE_PLACEHOLDER, holds_date

_OWN_OPTION = {"email": "--email", "first_name": "--first-name", "last_name": "--last-name"}
_SMS_HEADINGS = frozenset({"sms_number", "sms_consent_date"})


@dataclass(frozen=True, slots=True)
class Selection:
    """Whose profiles to take: tables, segments, key. Paths hold their date, no placeholder."""

    profiles: str
    segments: tuple[str, ...]
    segments_column: str = ""
    memberships: str = ""
    customer_id: str = "CustomerId"
    max_profiles: int = 1_000_000
    as_of: str = ""

    @classmethod
    def from_request(cls, request: ExportRequest) -> "Selection":
        """Take the selection out of a request; raises MappingInvalid for contradictions."""
        if request.segments_column and request.memberships:
            raise MappingInvalid(
                "Membership is given twice: name either a segments column (--segments-column) or "
                "a memberships table (--memberships), not both."
            )
        segments = tuple(sorted(set(request.segments)))
        if not segments or not all(name.strip() for name in segments):
            raise MappingInvalid("A segment without a name was asked for: name it (--segment).")
        profiles, memberships = _dated_paths(request)
        return cls(
            profiles=profiles,
            segments=segments,
            segments_column=request.segments_column,
            memberships=memberships,
            customer_id=request.customer_id,
            max_profiles=request.max_profiles,
            as_of=str(request.snapshot_date or ""),
        )


@dataclass(frozen=True, slots=True)
class Attribute:
    """A column of the profiles and the CSV heading that it is sent under."""

    column: str
    heading: str


@dataclass(frozen=True, slots=True)
class ContactMapping:
    """Which column becomes which field of a contact; fields are in the order of the CSV file."""

    email: str
    fields: tuple[Attribute, ...] = ()
    newest_by: str = ""

    @classmethod
    def from_request(cls, request: ExportRequest) -> "ContactMapping":
        """Take the mapping out of a request; raises MappingInvalid for headings that cannot be."""
        further = [Attribute(a.column, a.heading) for a in request.attributes]
        for attribute in further:
            _check_heading(attribute.heading)
        _check_together([attribute.heading for attribute in further])
        names = [
            Attribute(column, heading)
            for heading, column in (
                ("first_name", request.first_name),
                ("last_name", request.last_name),
            )
            if column
        ]
        return cls(request.email, (*names, *further), request.newest_by)

    @property
    def custom_fields(self) -> tuple[str, ...]:
        """Name the custom fields that the account must have, without their `cf:`."""
        return tuple(
            field.heading.removeprefix(CUSTOM_FIELD_PREFIX)
            for field in self.fields
            if field.heading.startswith(CUSTOM_FIELD_PREFIX)
        )


def _check_heading(heading: str) -> None:
    shown = one_line(heading)
    if heading in _OWN_OPTION:
        raise MappingInvalid(
            f"The attribute {shown} has an option of its own: use {_OWN_OPTION[heading]}."
        )
    if heading in _SMS_HEADINGS:
        raise MappingInvalid(
            f"The attribute {shown} cannot be sent: this tool does not handle consent to text "
            "messages, so leave it out."
        )
    if heading.startswith(CUSTOM_FIELD_PREFIX):
        name = heading.removeprefix(CUSTOM_FIELD_PREFIX)
        if not name.strip() or name != name.strip() or not name.isprintable():
            raise MappingInvalid(
                f"The attribute {shown} names no custom field: write cf: and the field's name as "
                "Constant Contact lists it."
            )
        return
    accepted = [name for name in HEADINGS if name not in _OWN_OPTION]
    if heading not in accepted:
        raise MappingInvalid(
            f"Constant Contact imports no field {shown}: {suggest(heading, accepted)} A custom "
            f"field is written {CUSTOM_FIELD_PREFIX}<name>."
        )


def _check_together(headings: list[str]) -> None:
    """Check what only headings together can break: repeats, too many, half a birthday."""
    repeated = {heading for heading in headings if headings.count(heading) > 1}
    if repeated:
        raise MappingInvalid(
            f"Two columns are mapped to one field: {list_names(repeated)}; keep one."
        )
    custom_count = sum(heading.startswith(CUSTOM_FIELD_PREFIX) for heading in headings)
    if custom_count > CUSTOM_FIELDS_MOST:
        raise MappingInvalid(
            f"{custom_count} custom fields are mapped, and Constant Contact takes at most "
            f"{CUSTOM_FIELDS_MOST} a contact: leave some out."
        )
    halves = {"birthday_day", "birthday_month"} & set(headings)
    if len(halves) == 1:
        missing = ({"birthday_day", "birthday_month"} - halves).pop()
        raise MappingInvalid(
            f"The attribute {halves.pop()} needs {missing} beside it: map both or neither."
        )


def _dated_paths(request: ExportRequest) -> tuple[str, str]:
    """Put the snapshot's date where the paths ask for it: `{as_of}` or `{as_of:%Y/%m/%d}`."""
    paths = request.profiles, request.memberships
    has_placeholder = any(map(holds_date, paths))
    as_of = request.snapshot_date
    if has_placeholder and as_of is None:
        raise MappingInvalid(
            "A path holds {as_of} but no snapshot date is given: add one (--as-of YYYY-MM-DD, or "
            "today or yesterday)."
        )
    if as_of is None:
        return paths
    if not has_placeholder:
        raise MappingInvalid(
            f"The snapshot date {as_of} is given but no path holds {{as_of}}: write it "
            "where the date belongs (--profiles, --memberships) or leave the date out."
        )
    return _put_date(paths[0], as_of), _put_date(paths[1], as_of)


def _put_date(path: str, as_of: date) -> str:
    """Replace only our own placeholder, so that other braces in a path stay what they are."""
    try:
        return DATE_PLACEHOLDER.sub(lambda found: found.group().format(as_of=as_of), path)
    except (ValueError, AttributeError, KeyError):
        raise MappingInvalid(
            f"The date form in the path {one_line(path)} is not one that can be written: use "
            "{as_of} or, for instance, {as_of:%Y/%m/%d}."
        ) from None
