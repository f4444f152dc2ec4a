"""Reading segment names: a list, a JSON list in a string, or one name a row."""

import json
import re
from collections.abc import Collection, Iterable

import polars as pl

from pipeline.errors import ColumnTypeWrong, UnknownSegment, list_names, one_line
from pipeline.source import Table

SEGMENTS = "Segments"
SEGMENT_NAME = "SegmentName"

# Customers share few combinations of segments, but nothing promises it.
_COMBINATIONS_KEPT = 100_000

# What a column named by mistake holds is not shown in a message: it may be personal data. So is no
# name that looks like an address, a telephone number or a long number; `18-24`, `2026` and
# `Sale @ Berlin` do not.
_SEGMENTS_MOST = 200
_ADDRESS = re.compile(r"\S@|@\S")
_LONG_NUMBER = re.compile(r"\d{9}")
_TELEPHONE = re.compile(r"(?:[\s+\-\u2010-\u2015()/.,]*\d){7,}[\s()/.,]*")


class NamesJudge:
    """Tell, slice by slice, whose segments include a wanted one; notice what is wrong on the way.

    Text is a JSON list of names, unless the table has a name a row.
    """

    def __init__(
        self, table: Table, column: str, wanted: Iterable[str], *, has_name_a_row: bool = False
    ) -> None:
        self._table = table
        self._column = column
        self._wanted = frozenset(wanted)
        self._has_name_a_row = has_name_a_row
        self._seen: set[str] = set()
        self._combinations: dict[str, frozenset[str] | None] = {}
        self._broken_rows = 0

    def is_member(self, names: pl.Series) -> pl.Series:
        """Give a mask (bool, no nulls) of the rows that name a wanted segment."""
        if isinstance(names.dtype, pl.List | pl.Array):
            return self._is_member_by_list(names)
        text = _text_of(names)
        if self._has_name_a_row:
            self._seen.update(name for name in self._wanted if (text == name).any())
            return text.is_in(list(self._wanted)).fill_null(value=False)
        return self._is_member_by_json(text)

    def finish(self) -> None:
        """Raise ColumnTypeWrong or UnknownSegment for what was noticed on the way."""
        if self._broken_rows:
            raise ColumnTypeWrong(
                f"The column {one_line(self._column)} of the {self._table.what} holds no JSON list "
                f"of segment names in {self._broken_rows:,} rows: each is to look like "
                '["High", "Newsletter"] or be empty.'
            )
        if self._wanted - self._seen:
            names = self.all_names()
            if not look_like_segments(names):
                self._refuse_column(len(names))
            check_known(self._wanted, names, self._table.what, unshown=find_values(names))

    def _refuse_column(self, different: int) -> None:
        unknown = self._wanted - self._seen
        if not unknown:
            return
        raise UnknownSegment(
            f"The {self._table.what} know no segment{_plural(unknown)} {list_names(unknown)}; the "
            f"column {one_line(self._column)} holds {different:,} different values and does not "
            "look like a column of segments: check --segments-column or --memberships."
        )

    def _is_member_by_list(self, names: pl.Series) -> pl.Series:
        lists = names.cast(pl.List(pl.String))
        is_member = pl.repeat(value=False, n=lists.len(), dtype=pl.Boolean, eager=True)
        for name in self._wanted:
            is_in_this = lists.list.contains(name).fill_null(value=False)
            if is_in_this.any():
                self._seen.add(name)
                is_member |= is_in_this
        return is_member

    def _is_member_by_json(self, text: pl.Series) -> pl.Series:
        """Parse each different string once: with a million customers they are still few."""
        wanted_strings: list[str] = []
        broken_strings: list[str] = []
        for string in text.drop_nulls().unique():
            found = self._parse(string)
            if found is None:
                broken_strings.append(string)
            elif found & self._wanted:
                self._seen |= found
                wanted_strings.append(string)
        if broken_strings:
            self._broken_rows += int(text.is_in(broken_strings).sum())
        return text.is_in(wanted_strings).fill_null(value=False)

    def _parse(self, string: str) -> frozenset[str] | None:
        if string not in self._combinations:
            if len(self._combinations) >= _COMBINATIONS_KEPT:
                self._combinations.clear()
            self._combinations[string] = parse_names(string)
        return self._combinations[string]

    def all_names(self) -> set[str]:
        """Read the whole column for the names that there are."""
        names: set[str] = set()
        for _, frame in self._table.iter_slices([self._column]):
            column = frame[self._column]
            if isinstance(column.dtype, pl.List | pl.Array):
                names.update(column.cast(pl.List(pl.String)).explode().drop_nulls().unique())
            elif self._has_name_a_row:
                names.update(_text_of(column).drop_nulls().unique())
            else:
                for string in _text_of(column).drop_nulls().unique():
                    names |= self._parse(string) or frozenset()
        return names


def check_known(
    wanted: Iterable[str], known: Iterable[str], what: str, *, unshown: Collection[str] = ()
) -> None:
    """Raise UnknownSegment, listing the segments there are, unless all the wanted are known.

    `unshown`: those that are counted and not listed.
    """
    known = set(known)
    unknown = set(wanted) - known
    if not unknown:
        return
    there_are = "there is none at all"
    if known:
        there_are = f"there are: {list_names(known.difference(unshown))}"
    if unshown:
        look = "look like values" if len(unshown) > 1 else "looks like a value"
        there_are += f" and {len(unshown):,} more that {look}"
    raise UnknownSegment(
        f"The {what} know no segment{_plural(unknown)} {list_names(unknown)}; {there_are}."
    )


def look_like_segments(names: set[str]) -> bool:
    """Say whether names are those of segments, and not a column of personal data."""
    values = find_values(names)
    return len(names) <= _SEGMENTS_MOST and (not values or len(values) < len(names) / 2)


def find_values(names: Iterable[str]) -> set[str]:
    """Find the names that look like a value of a person: an address or a number."""
    return {
        name
        for name in names
        if _ADDRESS.search(name) or _LONG_NUMBER.search(name) or _TELEPHONE.fullmatch(name)
    }


def _text_of(values: pl.Series) -> pl.Series:
    """Give text as text, and Parquet's JSON, which comes as bytes or as an extension of text."""
    if isinstance(values.dtype, pl.BaseExtension):
        values = values.ext.storage()
    if values.dtype != pl.Binary:
        return values.cast(pl.String)
    try:
        return values.cast(pl.String)
    except pl.exceptions.ComputeError:  # not all of it is UTF-8
        texts = [None if value is None else _decode(value) for value in values]
        return pl.Series(values.name, texts, pl.String)


def _decode(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return "\N{REPLACEMENT CHARACTER}"  # which is no JSON


def _plural(names: Collection[str]) -> str:
    return "s" if len(names) > 1 else ""


def parse_names(string: str) -> frozenset[str] | None:
    """Read a JSON list of segment names; nothing at all is an empty list, anything else None."""
    if not string.strip():
        return frozenset()
    try:
        names = json.loads(string)
    except (ValueError, RecursionError):
        return None
    if names is None:
        return frozenset()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return frozenset(names)
