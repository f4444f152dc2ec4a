"""One contact an address: who of the profiles that share one goes."""

from collections.abc import Iterator

import polars as pl

from pipeline.errors import ColumnTypeWrong, KeysNotUnique, one_line
from pipeline.fields import normalise_required
from pipeline.mapping import ContactMapping, Selection
from pipeline.segments import key_text
from pipeline.source import Table
from pipeline.text_forms import is_text, type_name

# Candidates for being duplicates whose text is held at a time.
_CANDIDATES_MOST = 500_000

# ISO 8601: a date, perhaps a time of day, perhaps a zone.
_ISO = (
    r"^(?<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ](?<hour>[01][0-9]|2[0-3]):(?<minute>[0-5][0-9])"
    r"(?::(?<second>[0-5][0-9](?:[.,][0-9]+)?))?"
    r"(?<zone>Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)?)?$"
)


def check_newest_by(profiles: Table, column: str) -> None:
    """Refuse a column that does not say which of two profiles is newer; reads nothing."""
    dtype = profiles.column_type(column, "newest by")
    ordered = dtype.is_numeric() or is_text(dtype) or dtype in (pl.Date, pl.Datetime, pl.Null)
    if not ordered:
        raise ColumnTypeWrong(
            f"The column {one_line(column)} ({type_name(dtype)}) does not say which profile is the "
            "newest: name a column of dates, times or numbers (--newest-by)."
        )


def age_of(values: pl.Series) -> tuple[pl.Series, int]:
    """Turn a column into something that sorts by age, null the oldest.

    Returns:
        The values, text read as ISO 8601 instants, and how many texts are no such thing.
    """
    if values.dtype.is_float():
        return values.fill_nan(None), 0
    if not is_text(values.dtype):
        return values, 0
    text = values.cast(pl.String).str.strip_chars().replace("", None)
    instants = text.alias("text").to_frame().select(_instant(pl.col("text"))).to_series()
    return instants.alias(values.name), instants.null_count() - text.null_count()


def check_text_is_dates(column: str, wrong_rows: int) -> None:
    """Refuse a text column in which some values are not ISO dates."""
    if wrong_rows:
        raise ColumnTypeWrong(
            f"The column {one_line(column)} is text and no ISO date in {wrong_rows:,} rows, so it "
            "does not say which profile is the newest: name a column of dates or numbers, or "
            "write them as 2026-01-31 or 2026-01-31T09:30:00Z (--newest-by)."
        )


def find_sharing(hashes: pl.DataFrame) -> pl.DataFrame:
    """Keep the rows that share their `hash` with another one, sorted by it."""
    ordered = hashes["hash"].sort()  # alone, as most rows share with none
    shared = ordered[1:].filter(ordered[1:] == ordered[:-1]).unique()
    return hashes.filter(hashes["hash"].is_in(shared.implode())).sort("hash")


def check_keys_unique(profiles: Table, key_hashes: pl.DataFrame, selection: Selection) -> None:
    """Raise KeysNotUnique when two members have one key; equal hashes are confirmed by text.

    Args:
        profiles: the table the rows are of.
        key_hashes: `row` (u32) and the 64-bit `hash` of each member's key.
        selection: names the key column.
    """
    key = selection.customer_id
    repeated = 0
    for candidates in _chunks(find_sharing(key_hashes)):
        keys = _read_rows(profiles, candidates["row"], [key]).select(key_text(key)).to_series()
        repeated += keys.len() - keys.n_unique()
    if repeated:
        raise KeysNotUnique(
            f"The key column {one_line(key)} repeats itself in {repeated:,} of the profiles in the "
            "segments: give profiles with one row a customer, or name another key (--customer-id)."
        )


def find_losers(
    profiles: Table, email_hashes: pl.DataFrame, selection: Selection, mapping: ContactMapping
) -> Iterator[pl.DataFrame]:
    """Find the profiles whose address goes with another profile, exactly by text.

    Of those who share an address the newest goes, then the one with the lowest key (whole numbers
    by value, text by its bytes). The order of rows never decides.

    Yields:
        `row` (u32), `customer_id` and `value` (the address as it is in the profiles).
    """
    key, newest = selection.customer_id, mapping.newest_by
    columns = list(dict.fromkeys([key, mapping.email, *([newest] if newest else [])]))
    for candidates in _chunks(find_sharing(email_hashes)):
        rows = candidates["row"].sort()
        frame = _read_rows(profiles, rows, columns)
        age = age_of(frame[newest])[0] if newest else pl.repeat(0, rows.len(), eager=True)
        native_key = frame[key].cast(pl.String) if is_text(frame[key].dtype) else frame[key]
        contacts = normalise_required(frame, selection, mapping).with_columns(
            rows.alias("row"),
            age.alias("age"),
            native_key.alias("key"),
            frame[mapping.email].cast(pl.String).alias("value"),
        )
        ordered = contacts.sort(
            ["email", "age", "key"], descending=[False, True, False], nulls_last=True
        )
        is_loser = (ordered["email"] == ordered["email"].shift(1)).fill_null(value=False)
        yield ordered.filter(is_loser).select("row", "customer_id", "value").sort("row")


def _chunks(sharing: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Cut rows that share hashes into pieces that part no two of one hash."""
    start = 0
    hashes = sharing["hash"]
    while start < sharing.height:
        end = min(start + _CANDIDATES_MOST, sharing.height)
        if end < sharing.height:
            at_end = hashes[end - 1]
            end = int(hashes.search_sorted(at_end, side="right"))
        yield sharing.slice(start, end - start)
        start = end


def _read_rows(profiles: Table, rows: pl.Series, columns: list[str]) -> pl.DataFrame:
    return pl.concat([frame for _, frame in profiles.iter_slices(columns, rows.sort())])


def _instant(text: pl.Expr) -> pl.Expr:
    """Read an ISO date or instant in UTC (µs); without a zone it is UTC already."""
    part = text.str.extract_groups(_ISO).struct.field
    date = part("date").str.to_date("%Y-%m-%d", strict=False)
    second = part("second").str.replace(",", ".", literal=True).cast(pl.Float64)
    zone = part("zone").str.replace(":", "", literal=True).replace("Z", "+00").str.pad_end(5, "0")
    zone_minutes = zone.str.slice(1, 2).cast(pl.Int64) * 60 + zone.str.slice(3, 2).cast(pl.Int64)
    zone_sign = pl.when(zone.str.starts_with("-")).then(-1).otherwise(1)
    minutes = part("minute").cast(pl.Int64).fill_null(0)
    since_midnight = pl.duration(
        hours=part("hour").cast(pl.Int64).fill_null(0),
        minutes=minutes - (zone_minutes * zone_sign).fill_null(0),
        microseconds=(second.fill_null(0) * 1_000_000).round().cast(pl.Int64),
    )
    return date.cast(pl.Datetime("us")) + since_midnight
