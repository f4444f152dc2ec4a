"""The two imports: what is checked before they are accepted, and the answer that accepts them."""

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any

from sandbox._account import Account, ContactList
from sandbox._bodies import (
    Part,
    check_json_type,
    drop_last_row,
    read_cut_json,
    read_multipart,
)
from sandbox._errors import RefusedError, invalid, not_found, unsupported
from sandbox._http import Answer, Call
from sandbox._import_rows import (
    CsvLayout,
    ImportPlan,
    Row,
    import_rows,
    lay_out,
    read_csv_rows,
)
from sandbox._jobs import JobFailedError
from sandbox._query import is_uuid

LISTS_MOST = 50
CUSTOM_FIELDS_PER_CONTACT = 25
CUSTOM = "cf:"
CSV_COLUMNS = frozenset(
    [
        "email",
        "sms_number",
        "first_name",
        "last_name",
        "phone",
        "job_title",
        "anniversary",
        "birthday_day",
        "birthday_month",
        "company_name",
        "street",
        "street2",
        "city",
        "state",
        "zip",
        "country",
        "sms_consent_date",
    ]
)
ADDRESS_COLUMNS = ("street", "street2", "city", "state", "zip", "country")
JSON_COLUMNS = (
    CSV_COLUMNS
    | {"home_phone", "work_phone", "mobile_phone", "other_phone"}
    | {f"{kind}_{column}" for kind in ("home", "work", "other") for column in ADDRESS_COLUMNS}
)
INTEGER_COLUMNS = frozenset({"birthday_month", "birthday_day"})


def file_import(account: Account, call: Call) -> Answer:
    """Accept a CSV file (POST /activities/contacts_file_import, cases 60 to 66).

    A file that is not UTF-8 is refused with 400, as is a byte order mark (it makes the first
    heading an unknown one); both are undocumented. Headings are exact, lower case.
    """
    settings = account.settings
    account.activities.check_queue()
    parts = _read_parts(call, settings.body_limit_bytes)
    file = parts["file"]
    permission = (
        parts["sms_permission_to_send"].content if "sms_permission_to_send" in parts else b""
    )
    list_ids = parts["list_ids"].content.decode(errors="replace").split(",")
    lists = _find_lists(account, [one for one in list_ids if one], refuse_unknown=not_found)
    try:
        text = (drop_last_row(file.content) if file.is_cut else file.content).decode()
    except UnicodeDecodeError:
        raise invalid("The file is not encoded in UTF-8") from None
    if any(address in text for address in settings.refused_addresses):
        raise invalid("The file holds a value that is not valid")
    layout = _read_header(account, text)
    _check_sms({*layout.columns}, permission.decode(errors="replace"))
    plan = ImportPlan(lists or [], settings.email_max_length, counts_header=True)
    rows = read_csv_rows(text, layout, row_limit=settings.csv_row_limit, is_cut=file.is_cut)
    return _accept(account, call, plan, rows, row_count=text.count("\n"), file_name=file.file_name)


def json_import(account: Account, call: Call) -> Answer:
    """Accept contacts as JSON (POST /activities/contacts_json_import, cases 32 to 57).

    Rows are flat objects of strings, but for the two birthday numbers; empty and null values count
    as not supplied (undocumented).
    """
    settings = account.settings
    account.activities.check_queue()
    check_json_type(call, wrong_type_status=400)
    content = read_cut_json(call.body, settings.body_limit_bytes)
    if not isinstance(content, dict):
        raise invalid("The request body is not a JSON object")
    _refuse_unknown(content.keys() - {"import_data", "list_ids", "sms_permission_to_send"})
    items = content.get("import_data")
    if not isinstance(items, list):
        raise invalid("import_data is missing, import_data does not have a valid value")
    list_ids = content.get("list_ids")
    if not isinstance(list_ids, list):
        raise invalid("list_ids is missing, list_ids does not have a valid value")
    lists = _find_lists(account, list_ids, refuse_unknown=invalid)
    if settings.over_long_json == "refuse" and len(items) > settings.json_row_limit:
        raise invalid(f"import_data has more than {settings.json_row_limit} items")
    rows = _read_json_rows(account, items[: settings.json_row_limit])
    supplied = {column for _, _, columns, _ in rows for column in columns}
    _check_sms(supplied, str(content.get("sms_permission_to_send", "")))
    plan = ImportPlan(
        lists or [], settings.json_email_max_length, settings.json_total_counts_header
    )
    return _accept(account, call, plan, iter(rows), row_count=len(rows), file_name=None)


def _accept(
    account: Account,
    call: Call,
    plan: ImportPlan,
    rows: Iterator[Row],
    *,
    row_count: int,
    file_name: str | None,
) -> Answer:
    """Queue an import and answer 201 with its activity (case 32)."""
    work = import_rows(account, rows, plan) if plan.lists else _fail("A list does not exist")
    activity = account.activities.open(
        work,
        plan.counters,
        plan.errors,
        rows=row_count,
        source_file_name=file_name,
        twists=call.twists,
    )
    return Answer(201, activity.show_accepted())


def _fail(problem: str) -> Iterator[None]:
    yield
    raise JobFailedError(problem)


def _read_parts(call: Call, limit_bytes: int) -> dict[str, Part]:
    """Return the parts of a file import by name, each checked to be there and to be alone."""
    parts: dict[str, Part] = {}
    for part in read_multipart(call, limit_bytes):
        if part.name in parts:
            raise invalid(f"{part.name} is given more than once")
        parts[part.name] = part
    _refuse_unknown(parts.keys() - {"file", "list_ids", "sms_permission_to_send"})
    for name in ("file", "list_ids"):
        if name not in parts:
            raise invalid(f"{name} is missing, {name} does not have a valid value")
    file_name = parts["file"].file_name
    if file_name is None:
        raise invalid("file is not a file; its part has no filename")
    if not file_name.lower().endswith(".csv"):
        raise unsupported("Wrong file format, upload file must be of type .csv")
    return parts


def _refuse_unknown(names: set[str]) -> None:
    if names:
        raise invalid(f"{min(names)} is not a property of this request")


def _find_lists(
    account: Account, list_ids: list[Any], *, refuse_unknown: Callable[[str], RefusedError]
) -> list[ContactList] | None:
    """Return the lists of an import (cases 47, 48 and 51); None: accept it, to fail later."""
    if not 1 <= len(list_ids) <= LISTS_MOST:
        raise invalid(f"list_ids does not have a valid value; 1 to {LISTS_MOST} are allowed")
    if not all(map(is_uuid, list_ids)):
        raise invalid("list_ids does not have a valid value; a list_id is in an invalid format.")
    lists = account.find_live_lists(list_ids)
    if lists is None and account.settings.unknown_list == "refuse":
        raise refuse_unknown("list_ids does not have a valid value; a list does not exist")
    return lists


def _read_header(account: Account, text: str) -> CsvLayout:
    """Check the headings of a CSV file and return where it keeps what (case 63)."""
    try:
        headings = next(csv.reader(io.StringIO(text, newline=""), strict=True), [])
    except csv.Error:
        raise invalid("The header row is malformed") from None
    if not {"email", "sms_number"} & set(headings):
        raise invalid("The file must have a column email or sms_number")
    if len(set(headings)) != len(headings):
        raise invalid("A column heading is repeated")
    known = _known_columns(account, headings, CSV_COLUMNS)
    email = headings.index("email") if "email" in headings else None
    kept = [
        position for position, name in enumerate(headings) if name in known and position != email
    ]
    return lay_out(headings, email, kept, account)


def _known_columns(account: Account, names: list[str], standard: frozenset[str]) -> frozenset[str]:
    """Return the columns to keep, refusing those that are not to be ignored (cases 55 and 56)."""
    settings = account.settings
    custom = [name for name in names if name.startswith(CUSTOM)]
    existing = {CUSTOM + field.name for field in account.custom_fields}
    if len(custom) > CUSTOM_FIELDS_PER_CONTACT and settings.too_many_custom_fields == "refuse":
        raise invalid(f"More than {CUSTOM_FIELDS_PER_CONTACT} custom fields")
    if settings.unknown_custom_fields == "refuse":
        _refuse_unknown(set(custom) - existing)
    if settings.unknown_headings == "refuse":
        _refuse_unknown(set(names) - standard - set(custom))
    return standard | (existing & set(custom[:CUSTOM_FIELDS_PER_CONTACT]))


def _check_sms(columns: set[str], permission: str) -> None:
    """Refuse SMS numbers without a permission, and `explicit` without a date of consent."""
    if permission not in {"", "explicit", "not_set"}:
        raise invalid("sms_permission_to_send does not have a valid value")
    if "sms_number" in columns and not permission:
        raise invalid("sms_permission_to_send is missing")
    if permission == "explicit" and "sms_consent_date" not in columns:
        raise invalid("sms_consent_date is missing")


def _read_json_rows(account: Account, items: list[Any]) -> list[Row]:
    """Check the rows of a JSON import against the contract's types and return them."""
    refuses_long_email = account.settings.over_long_json_email == "refuse"
    known_by_shape: dict[tuple[str, ...], frozenset[str]] = {}
    rows: list[Row] = []
    for line, item in enumerate(items, start=2):
        if not isinstance(item, dict):
            raise invalid("import_data does not have a valid value; an item is not an object")
        shape = tuple(item)
        known = known_by_shape.get(shape)
        if known is None:
            known = known_by_shape[shape] = _known_columns(account, list(item), JSON_COLUMNS)
        supplied = {
            column: _json_text(column, value)
            for column, value in item.items()
            if column in known and value is not None and value != ""
        }
        email = supplied.pop("email", "")
        if refuses_long_email and len(email) > account.settings.json_email_max_length:
            raise invalid("email is too long")
        columns = account.book.share_columns(supplied)
        rows.append((line, email, columns, tuple(supplied.values())))
    return rows


def _json_text(column: str, value: Any) -> str:
    """Return a JSON value as text, checked against the type that the contract gives its column."""
    if column in INTEGER_COLUMNS and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or column in INTEGER_COLUMNS:
        raise invalid(f"{column} does not have a valid value")
    return value
