"""What the columns of a table are read as, when its files were not all written alike."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import polars as pl

from pipeline.errors import SourceUnreadable, one_line
from pipeline.guard import READ_FAILURES
from pipeline.locations import FoundFile

_EMPTY = "null"  # Arrow's type of a column without any value, as pandas writes one
_TEXT = "string"
_CODED_TEXT = "dictionary<values=string,"
# What makes no other type of it: the size of offsets, and how the items of a list are called.
_DRESS = re.compile(r"large_|_view|(?<=list<)\w+: | not null")


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


def scan(path: str) -> pl.LazyFrame:
    """Scan one Parquet file, whose name may hold brackets or `key=value` folders."""
    return pl.scan_parquet(path, glob=False, hive_partitioning=False)


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
            has_it = next(file for file in files if file.columns[column] != _EMPTY)
            types[column] = _read_types(has_it, what)[column]
    return Layout(types, frozenset(cast), differing)


def _type_in(file: FoundFile, column: str) -> str:
    """Give a column's type in one file, without what makes no difference; empty if not there."""
    return _DRESS.sub("", file.columns.get(column, ""))


def _read_types(file: FoundFile, what: str) -> dict[str, pl.DataType]:
    try:
        return dict(scan(file.path).collect_schema())
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
        other = next(file for file in files if _type_in(file, column) not in {expected, _EMPTY})
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
