"""What the columns of a table are read as, when its files were not all written alike."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import polars as pl

from pipeline.errors import SourceUnreadable, one_line
from pipeline.guard import READ_FAILURES
from pipeline.locations import FoundFile

_EMPTY = "null"  # Arrow's type of a column without any value, as pandas writes one
_EMPTY_LISTS = "list<null>"
_TEXT = "string"
_CODED_TEXT = "dictionary<values=string,"
# What makes no other type of it: the size of offsets, and how the items of a list are called.
_DRESS = re.compile(r"large_|_view|(?<=list<)\w+: | not null")
_NANOSECONDS = "timestamp[ns"
_MICROSECONDS = "timestamp[us"
_LIST_VIEW = "list_view<"  # Polars' reader gives up at one, wherever it stands in a file


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a table.

    Attributes:
        types: what each is read as, in the order of the first file.
        cast: those that are made so when they are read, as the files have them differently.
        differing: those that cannot be read as one, with what to say of each; nobody is told
            unless it is needed.
    """

    types: Mapping[str, pl.DataType]
    cast: frozenset[str]
    differing: Mapping[str, str]


def scan(file: FoundFile, columns: Sequence[str]) -> pl.LazyFrame:
    """Scan these columns of one Parquet file, and others where that costs nothing.

    Instants are never read as nanoseconds: 64 bits of them reach from 1677 to 2262, and what lies
    beyond, as Spark's INT96 may, Polars would give as the last of them.
    """
    found = _scan(file)
    if not any(file.columns.get(column, "").startswith(_NANOSECONDS) for column in columns):
        return found
    types = found.collect_schema()
    return _scan(
        file,
        schema={column: _read_as(types[column]) for column in dict.fromkeys(columns)},
        extra_columns="ignore",
        cast_options=pl.ScanCastOptions(datetime_cast="nanosecond-downcast"),
    )


def _scan(file: FoundFile, **options: Any) -> pl.LazyFrame:
    # The name may hold brackets, or folders like `key=value`.
    return pl.scan_parquet(file.path, glob=False, hive_partitioning=False, **options)


def _read_as(dtype: pl.DataType) -> pl.DataType:
    if isinstance(dtype, pl.Datetime) and dtype.time_unit == "ns":
        return pl.Datetime("us", dtype.time_zone)
    return dtype


def lay_out(files: Sequence[FoundFile], what: str) -> Layout:
    """Tell what the columns of the files are read as; raises SourceUnreadable naming the file.

    Text is text however it is stored, and a file without a value in a column fits any.
    """
    first = files[0]
    types = _read_types(first, what)
    cast: set[str] = set()
    differing: dict[str, str] = {}
    for column in dict.fromkeys(chain.from_iterable(file.columns for file in files)):
        stored = {_type_in(file, column) for file in files}
        given = stored - {_EMPTY}
        if any(one.startswith("list<") for one in given - {_EMPTY_LISTS}):
            given -= {_EMPTY_LISTS}
        are_texts = all(one == _TEXT or one.startswith(_CODED_TEXT) for one in given)
        if len(files) == 1 or (len(stored) == 1 and not (are_texts and _TEXT not in stored)):
            continue
        if "" in given or not (len(given) == 1 or are_texts):
            differing[column] = _phrase(column, files, what)
            types.setdefault(column, pl.Null())
        elif are_texts and given:  # coded by different lists of values, perhaps
            cast.add(column)
            types[column] = pl.String()
        elif given:
            cast.add(column)
            has_it = next(file for file in files if _type_in(file, column) in given)
            types[column] = _read_types(has_it, what)[column]
    return Layout(types, frozenset(cast), differing)


def _type_in(file: FoundFile, column: str) -> str:
    """Give a column's type in one file, without what makes no difference; empty if not there."""
    written = _DRESS.sub("", file.columns.get(column, ""))
    return written.replace(_NANOSECONDS, _MICROSECONDS) if written.startswith("time") else written


def _read_types(file: FoundFile, what: str) -> dict[str, pl.DataType]:
    for column, written in file.columns.items():
        if _LIST_VIEW in written:
            raise SourceUnreadable(
                f"The column {one_line(column)} in the file {one_line(file.path)} of the {what} is "
                "a list_view, which cannot be read: have it written as a list, or left out."
            )
    try:
        return {column: _read_as(dtype) for column, dtype in _scan(file).collect_schema().items()}
    except READ_FAILURES:
        raise SourceUnreadable(
            f"The file {one_line(file.path)} of the {what} holds columns that cannot be read: "
            "have it written again."
        ) from None


def _phrase(column: str, files: Sequence[FoundFile], what: str) -> str:
    is_missing = next((file for file in files if column not in file.columns), None)
    if is_missing is None:
        first = next(file for file in files if _type_in(file, column) != _EMPTY)
        expected = _type_in(first, column)
        fitting = {expected, _EMPTY, _EMPTY_LISTS if expected.startswith("list<") else ""}
        other = next(file for file in files if _type_in(file, column) not in fitting)
        difference = f"is {_type_in(other, column)} instead of {expected}"
    elif is_missing is files[0]:
        first, other = is_missing, next(file for file in files if column in file.columns)
        difference = "is in this one only"
    else:
        first, other = files[0], is_missing
        difference = "is missing"
    return (
        f"The file {one_line(other.path)} of the {what} has other columns than "
        f"{one_line(first.name)}: {one_line(column)} {difference}. Give a folder whose files are "
        "one table."
    )
