"""What an import does to the contacts, row by row."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from operator import itemgetter

from sandbox._account import Account, ContactList, bits_of
from sandbox._contact_book import Contact
from sandbox._jobs import JobFailedError

ROWS_PER_TURN = 500
SHORT_LENGTH = 50
LONG_LENGTH = 255
SMS_LENGTH = 16
LONG_COLUMN = re.compile(r"cf:.*|(?:home_|work_|other_)?street2?", re.DOTALL)
EMAIL = re.compile(
    r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?",
    re.ASCII,
)
SMS_NUMBER = re.compile(r"\d{10}|\d{3}-\d{3}-\d{4}", re.ASCII)
YEAR_FIRST = re.compile(r"(\d{4})([/-])(\d{1,2})\2(\d{1,2})", re.ASCII)
YEAR_LAST = re.compile(r"(\d{1,2})([/-])(\d{1,2})\2(\d{4})", re.ASCII)
CHECKED_COLUMNS = frozenset(
    {"birthday_month", "birthday_day", "anniversary", "sms_number", "sms_consent_date"}
)
LEAP_YEAR = 2024

Row = tuple[int, str, tuple[str, ...], tuple[str, ...] | None]
"""Line (the header is 1), e-mail address, columns, and their values: None for a row with too many.
Columns come from the book's `share_columns`; an empty value was not supplied."""


@dataclass(slots=True)
class ImportPlan:
    """What an import is to do, and what it tells of it in the end."""

    lists: list[ContactList]
    email_max_length: int
    counts_header: bool
    counters: dict[str, int] = field(
        default_factory=lambda: {
            "items_total_count": 0,
            "person_count": 0,
            "error_count": 0,
            "correctable_count": 0,
            "cannot_add_to_list_count": 0,
        }
    )
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CsvLayout:
    """Where a CSV file keeps what: positions of the e-mail and of the columns to keep."""

    width: int
    email_position: int | None
    columns: tuple[str, ...]
    pick: Callable[[list[str]], tuple[str, ...]]


def lay_out(headings: list[str], email: int | None, kept: list[int], account: Account) -> CsvLayout:
    """Return the layout of a file of which the columns at some positions are kept."""
    columns = account.book.share_columns(headings[position] for position in kept)
    return CsvLayout(len(headings), email, columns, _picker(kept))


def read_csv_rows(text: str, layout: CsvLayout, *, row_limit: int, is_cut: bool) -> Iterator[Row]:
    """Yield the rows of a CSV file after its header, at most so many (case 64).

    Raises:
        JobFailedError: the file breaks RFC 4180; a file that was cut may.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=not is_cut)
    width, email_position, columns, pick = (
        layout.width,
        layout.email_position,
        layout.columns,
        layout.pick,
    )
    try:
        next(reader)
        for line, cells in enumerate(islice(reader, row_limit), start=2):
            if not cells:
                continue
            if len(cells) != width:
                if len(cells) > width:
                    yield line, "", columns, None
                    continue
                cells.extend([""] * (width - len(cells)))
            email = "" if email_position is None else cells[email_position]
            yield line, email, columns, pick(cells)
    except csv.Error as error:
        raise JobFailedError(f"Line {reader.line_num}: {error}") from None


def import_rows(account: Account, rows: Iterable[Row], plan: ImportPlan) -> Iterator[None]:
    """Bring rows into the contacts; yield after every few hundred.

    Raises:
        JobFailedError: none of the lists is there any more, or the file is broken.
    """
    bring_in = _RowImporter(account, plan).bring_in
    settings = account.settings
    read = refused = 0
    try:
        for read, row in enumerate(rows, start=1):
            try:
                bring_in(row)
            except RowRefusedError as refusal:
                refused += 1
                plan.counters[refusal.counter] += 1
                if settings.activity_errors and len(plan.errors) < settings.activity_errors_most:
                    plan.errors.append(f"Line {row[0]}: {refusal.problem}")
            if read % ROWS_PER_TURN == 0:
                yield
    finally:
        is_counting_rows = settings.person_count_counts == "rows"
        plan.counters["items_total_count"] = read + int(plan.counts_header)
        plan.counters["person_count"] = read if is_counting_rows else read - refused


class RowRefusedError(Exception):
    """A row does not become a member of the lists; `counter` is where it is counted."""

    def __init__(self, counter: str, problem: str) -> None:
        super().__init__(counter, problem)
        self.counter = counter
        self.problem = problem


class _RowImporter:
    """Brings one row after the other into an account (cases 35 to 46)."""

    def __init__(self, account: Account, plan: ImportPlan) -> None:
        self._book = account.book
        self._settings = account.settings
        self._email_max_length = plan.email_max_length
        self._at_s = account.clock.utc_s()
        self._target_bits = bits_of(plan.lists)
        self._last_columns: tuple[str, ...] | None = None
        self._is_checking = False
        if not self._target_bits:
            raise JobFailedError("None of the lists exists")

    def bring_in(self, row: Row) -> None:
        """Create or update one contact and add it to the lists.

        Raises:
            RowRefusedError: it is not on the lists now.
        """
        _, email, columns, cells = row
        if cells is None:
            raise RowRefusedError("error_count", "Too many values")
        values = cells
        if not all(values):
            columns, values = self._book.without_blanks(columns, values)
        key = self._key(email.lower(), columns, values)
        if columns is not self._last_columns:
            self._last_columns = columns
            self._is_checking = not CHECKED_COLUMNS.isdisjoint(columns)
        if values and (self._is_checking or len(max(values, key=len)) > SHORT_LENGTH):
            values = self._check(columns, values)
        contact = self._book.find(key)
        if contact is None:
            at_s, bits = self._at_s, self._target_bits
            self._book.add(key, columns, values, at_s=at_s, list_bits=bits)
        else:
            self._book.update(contact, columns, values, at_s=self._at_s)
            self._join(contact)

    def _key(self, email: str, columns: tuple[str, ...], values: tuple[str, ...]) -> str:
        """Return what identifies a row's contact (cases 41, 43 and 46)."""
        if email:
            is_too_long = len(email) > self._email_max_length
            if (
                is_too_long
                or not EMAIL.fullmatch(email)
                or email in self._settings.abused_addresses
            ):
                raise RowRefusedError("correctable_count", "Invalid email address")
            return email
        number = dict(zip(columns, values, strict=True)).get("sms_number")
        if number is None:
            raise RowRefusedError("correctable_count", "No email address")
        return "sms:" + number.replace("-", "")

    def _check(self, columns: tuple[str, ...], values: tuple[str, ...]) -> tuple[str, ...]:
        """Return a row's values, cut to length if that is the setting (cases 42 and 57)."""
        if self._settings.over_long_values == "truncate":
            values = tuple(map(_cut, columns, values))
        problem = find_problem(columns, values)
        if problem:
            raise RowRefusedError("correctable_count", problem)
        return values

    def _join(self, contact: Contact) -> None:
        """Add a known contact to the lists (cases 37 to 40)."""
        if contact.permission == "unsubscribed":
            raise RowRefusedError("cannot_add_to_list_count", "Contact is unsubscribed")
        contact.deleted_s = None
        bits = contact.list_bits | self._target_bits
        if bits != contact.list_bits:
            if bits.bit_count() > self._settings.lists_per_contact:
                raise RowRefusedError("error_count", "Contact is on too many lists")
            self._book.set_lists(contact, bits)


def find_problem(columns: tuple[str, ...], values: tuple[str, ...]) -> str:
    """Return what is wrong with a row's values (all correctable), empty when nothing is."""
    supplied = dict(zip(columns, values, strict=True))
    for column, value in supplied.items():
        if len(value) > max_length(column):
            return f"{column} is too long"
    month, day = supplied.get("birthday_month"), supplied.get("birthday_day")
    if (month is None) != (day is None):
        return "Invalid birthday"
    if month is not None and day is not None and not _is_day(str(LEAP_YEAR), month, day):
        return "Invalid birthday"
    for column in ("anniversary", "sms_consent_date"):
        if column in supplied and not is_date(supplied[column]):
            return f"Invalid {column}"
    if "sms_number" in supplied and not SMS_NUMBER.fullmatch(supplied["sms_number"]):
        return "Invalid sms_number"
    return ""


def max_length(column: str) -> int:
    """Return how long a column's values may be."""
    if column in {"sms_number", "sms_consent_date"}:
        return SMS_LENGTH
    return LONG_LENGTH if LONG_COLUMN.fullmatch(column) else SHORT_LENGTH


def is_date(text: str) -> bool:
    """Say whether text is a date in one of the forms that the contract lists."""
    if match := YEAR_FIRST.fullmatch(text):
        return _is_day(match[1], match[3], match[4])
    if match := YEAR_LAST.fullmatch(text):
        return _is_day(match[4], match[1], match[3])
    return False


def _is_day(year: str, month: str, day: str) -> bool:
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True


def _cut(column: str, value: str) -> str:
    return value[: max_length(column)]


def _picker(positions: list[int]) -> Callable[[list[str]], tuple[str, ...]]:
    """Return a function that takes the cells at some positions out of a row."""
    if len(positions) > 1:
        return itemgetter(*positions)
    if positions:
        (only,) = positions
        return lambda cells: (cells[only],)
    return lambda _: ()
