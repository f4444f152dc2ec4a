"""Contact batches: CSV files cut exactly under both limits of an import."""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO

import polars as pl

from pipeline.delivery import DIGEST_CHARACTERS, MOST_BATCHES
from pipeline.errors import BatchImpossible, ConservationBroken
from pipeline.fields import (
    field_columns,
    find_amendments,
    find_suspects,
    leave_out,
    normalise_email,
    normalise_fields,
)
from pipeline.mapping import ContactMapping
from pipeline.source import Table

# Contract, contactsCSVImport: 40,000 lines with the header; what follows is silently not processed.
MOST_CONTACT_LINES = 39_999
LINE_END = "\r\n"
_NEEDS_QUOTES = r'[",\r\n]'
_LINE_BREAK = r"\r\n|\r|\n"
# Columns beside the fields, under names that no heading can have.
_SIZE, _LINES = "\x00size", "\x00lines"

_log = logging.getLogger("segment_export.pipeline")


@dataclass(frozen=True, slots=True)
class ContactBatch:
    """A CSV file of contacts.

    Attributes:
        number: counts from 1; a part of a batch keeps the number of the whole.
        first: how many contacts of the delivery go before its first one.
        digest: 12 hexadecimal digits of the body.
    """

    number: int
    first: int
    rows: int
    body: bytes = field(repr=False)
    digest: str

    @property
    def has_a_line_each(self) -> bool:
        """Tell whether every contact is one line, so that line numbers name contacts."""
        return self.body.count(b"\n") == self.body.count(b"\r") == self.rows + 1


def iter_batches(
    profiles: Table,
    sent_rows: pl.Series,
    mapping: ContactMapping,
    *,
    max_body_bytes: int,
) -> Iterator[ContactBatch]:
    """Yield the contacts of these rows as CSV files, in order, as few as the limits allow.

    A file is UTF-8 without a byte order mark, RFC 4180 with CRLF, quotes only where needed, with
    a header of the columns that hold a value in this very file. Null is an empty cell.

    Args:
        profiles: the table of profiles.
        sent_rows: ascending row numbers (u32) of the profiles that go.
        mapping: names the columns of the address and the fields.
        max_body_bytes: the most bytes of a file.

    Raises SourceChanged, BatchImpossible, ConservationBroken. The first batch is there after the
    first slices that fill it; no more than one slice is read ahead.
    """
    columns = [mapping.email, *field_columns(mapping)]

    def make_contacts(_: pl.Series, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
        email = normalise_email(frame, mapping).to_frame()
        contacts = email.hstack(normalise_fields(frame, mapping))
        return contacts, find_suspects(frame, mapping)

    slices = profiles.map_slices(make_contacts, columns, sent_rows)
    sendable = (_measure(_amend(contacts, suspects)) for contacts, suspects in slices)
    number = first = 0
    for contacts, size_bytes in _cut(sendable, max_body_bytes):
        number += 1
        if number > MOST_BATCHES:
            raise BatchImpossible(
                f"The delivery takes more than {MOST_BATCHES:,} batches, more than a day's quota "
                "of requests: export smaller segments or send fewer attributes."
            )
        yield _encode(number, first, contacts, size_bytes)
        first += contacts.height
    _log.info("Made %s", f"{number:,} batch" if number == 1 else f"{number:,} batches")


def _amend(contacts: pl.DataFrame, suspects: pl.Series) -> pl.DataFrame:
    """Leave out what breaks a rule; only suspects need be looked at."""
    fields = contacts.drop("email")
    amendments = find_amendments(fields[suspects])
    if amendments.is_empty():
        return contacts
    located = amendments.with_columns(suspects.gather(amendments["index"]).alias("index"))
    return contacts.select("email").hstack(leave_out(fields, located))


def _cut(slices: Iterator[pl.DataFrame], max_body_bytes: int) -> Iterator[tuple[pl.DataFrame, int]]:
    """Cut greedily, giving each batch's contacts and size in bytes.

    A batch ends where one more contact would break a limit. In-order batches cannot be fewer: the
    n-th of any other cutting never ends later than the n-th of this one.
    """
    waiting: pl.DataFrame | None = None
    for contacts in slices:
        waiting = contacts if waiting is None else pl.concat([waiting, contacts])
        while not waiting.is_empty():
            rows, size_bytes = _fill_one(waiting, max_body_bytes)
            if rows == waiting.height:
                break  # the next slice may go on with this batch
            yield waiting.head(rows), size_bytes
            waiting = waiting.slice(rows)
    if waiting is not None and not waiting.is_empty():
        yield waiting, _fill_one(waiting, max_body_bytes)[1]


def _measure(contacts: pl.DataFrame) -> pl.DataFrame:
    """Add each contact's size in bytes, separators aside (they depend on the file), and its lines.

    A line break within quotes begins a new line of the file. The limit is documented in lines, and
    whether such lines count is not: so they do.
    """
    sizes = pl.repeat(0, contacts.height, dtype=pl.UInt32, eager=True)
    lines = pl.repeat(1, contacts.height, dtype=pl.UInt32, eager=True)
    for cells in contacts:
        sizes += cells.str.len_bytes().fill_null(0)
        needs_quotes = cells.str.contains(_NEEDS_QUOTES).fill_null(value=False)
        if needs_quotes.any():
            quotes = cells.str.count_matches('"', literal=True).fill_null(0) + 2
            sizes += quotes * needs_quotes.cast(pl.UInt32)
            lines += cells.str.count_matches(_LINE_BREAK).fill_null(0)
    return contacts.with_columns(sizes.alias(_SIZE), lines.alias(_LINES))


def _body_bytes(contacts: pl.DataFrame) -> pl.Series:
    """Compute the size of the file of the first 1, 2, … contacts, exactly.

    A column counts from the first contact on that has a value in it; so sizes only ever grow.
    """
    cells = contacts[_SIZE].cast(pl.UInt64).cum_sum()
    count = pl.int_range(1, contacts.height + 1, dtype=pl.UInt64, eager=True)
    columns = pl.repeat(0, contacts.height, dtype=pl.UInt64, eager=True)
    header = columns
    for name in _fields(contacts):
        first = contacts[name].is_not_null().arg_max()
        if first is None or contacts[name][first] is None:
            continue
        is_in = (count > first).cast(pl.UInt64)
        columns += is_in
        header += is_in * len(_header([name]))
    line_ends = (count + 1) * len(LINE_END)
    # Each line of n columns has n - 1 commas; `_header` gave each name a line end of its own.
    return cells + header - columns * len(LINE_END) + (columns - 1) * (count + 1) + line_ends


def _fill_one(contacts: pl.DataFrame, max_body_bytes: int) -> tuple[int, int]:
    """Count the contacts, from the first, that fill one batch, and its bytes."""
    window = contacts.head(MOST_CONTACT_LINES)
    body_bytes = _body_bytes(window)
    lines_fit = window[_LINES].cum_sum() <= MOST_CONTACT_LINES
    rows = int((lines_fit & (body_bytes <= max_body_bytes)).sum())
    if rows == 0:
        raise BatchImpossible(
            f"One contact alone takes {body_bytes[0]:,} bytes in {window[_LINES][0]:,} lines, and "
            f"a file may have {max_body_bytes:,} bytes: send fewer attributes."
        )
    return rows, int(body_bytes[rows - 1])


def _encode(number: int, first: int, contacts: pl.DataFrame, size_bytes: int) -> ContactBatch:
    names = [name for name in _fields(contacts) if contacts[name].null_count() < contacts.height]
    buffer = BytesIO()
    buffer.write(_header(names))
    contacts.select(names).write_csv(buffer, include_header=False, line_terminator=LINE_END)
    body = buffer.getvalue()
    if len(body) != size_bytes:  # or the cut was not where the limit is
        raise ConservationBroken(
            f"Batch {number} has {len(body):,} bytes and was computed to have {size_bytes:,}: a "
            "defect of segment-export, please report it."
        )
    return ContactBatch(number, first, contacts.height, body, digest_of(body))


def digest_of(body: bytes) -> str:
    """Give the 12 hexadecimal digits by which a batch is known."""
    return hashlib.sha256(body).hexdigest()[:DIGEST_CHARACTERS]


def _fields(contacts: pl.DataFrame) -> list[str]:
    return [name for name in contacts.columns if name not in (_SIZE, _LINES)]


def _header(names: list[str]) -> bytes:
    cells = (
        f'"{name.replace(chr(34), chr(34) * 2)}"' if {'"', ","} & set(name) else name
        for name in names
    )
    return (",".join(cells) + LINE_END).encode()
