"""Who is in the segments: membership in any of its four forms, exactly by text."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote

import polars as pl
from polars import selectors

from pipeline.errors import (
    ColumnMissing,
    ColumnTypeWrong,
    MembershipUnclear,
    TooManyProfiles,
    one_line,
)
from pipeline.locations import FoundFile, find_files
from pipeline.mapping import Selection
from pipeline.segment_names import SEGMENT_NAME, SEGMENTS, NamesJudge, check_known
from pipeline.source import Table, table_of
from pipeline.text_forms import is_text, type_name

_WHAT = "memberships"
_JSON = "extension<arrow.json>"  # what Arrow calls Parquet's logical type JSON
_log = logging.getLogger("segment_export.pipeline")


@dataclass(frozen=True, slots=True)
class Members:
    """The members of the segments.

    Attributes:
        rows: ascending row numbers (u32) in the profiles.
        without_profile: customers in the segments whom the profiles do not hold.
    """

    rows: pl.Series
    without_profile: int


@dataclass(frozen=True, slots=True)
class Membership:
    """Where membership is kept, found and checked but not yet read.

    Exactly one is set: a `column` of the profiles; a `table` with `names_column`; or `folders`,
    a table a segment. `has_name_a_row`: the table is in long form.
    """

    column: str = ""
    table: Table | None = None
    names_column: str = ""
    has_name_a_row: bool = False
    folders: Mapping[str, Table] | None = None

    def tables(self) -> list[Table]:
        """List the tables that membership is read from, the profiles aside."""
        if self.folders is not None:
            return [self.folders[name] for name in sorted(self.folders)]
        return [] if self.table is None else [self.table]


def find_membership(profiles: Table, selection: Selection) -> Membership:
    """Tell which form membership has, reading footers only.

    Raises MembershipUnclear, ColumnMissing, ColumnTypeWrong, UnknownSegment for a segment without
    a table, SourceUnreadable.
    """
    check_key(profiles, selection.customer_id)
    if selection.memberships:
        return _find_beside(selection)
    column = selection.segments_column or SEGMENTS
    if not selection.segments_column and not profiles.has_column(column):
        raise MembershipUnclear(
            "Nothing says who is in which segment: name the column of the profiles that lists a "
            "customer's segments (--segments-column) or a memberships table (--memberships)."
        )
    profiles.column_type(column, "segments column")
    _check_names(profiles, column)
    return Membership(column=column)


def select_members(profiles: Table, membership: Membership, selection: Selection) -> Members:
    """Find the profiles that are in any of the segments; one in several counts once.

    Raises UnknownSegment, TooManyProfiles, ColumnTypeWrong: for keys that fit no profile, too.
    """
    if membership.column:
        members = _members_by_column(profiles, membership.column, selection)
    else:
        members = _members_by_key(profiles, _member_keys(membership, selection), selection)
    _log.info("%s profiles are in the segments", f"{members.rows.len():,}")
    if members.rows.len() > selection.max_profiles:
        raise TooManyProfiles(
            f"The segments hold {members.rows.len():,} profiles and at most "
            f"{selection.max_profiles:,} may be exported: if more are meant, raise --max-profiles "
            "(in the form: Most profiles)."
        )
    return members


def check_key(table: Table, column: str) -> None:
    """Refuse a key column that neither text nor whole numbers fill."""
    dtype = table.column_type(column, "key column")
    whole = dtype.is_integer() or (isinstance(dtype, pl.Decimal) and dtype.scale == 0)
    if not (whole or is_text(dtype) or dtype == pl.Null):
        raise ColumnTypeWrong(
            f"The key column {one_line(column)} of the {table.what} is {type_name(dtype)}: a key "
            "is text or a whole number."
        )


def key_text(column: str) -> pl.Expr:
    """Write a key as text, as keys are compared; a blank one is null."""
    text = selectors.by_name(column).cast(pl.String)  # `*` may be a name
    return pl.when(text.str.strip_chars() != "").then(text).alias(column)


def _find_beside(selection: Selection) -> Membership:
    files = find_files(selection.memberships, _WHAT)
    marks = {SEGMENTS, SEGMENT_NAME} & set(files[0].columns)
    if len(marks) > 1:
        raise MembershipUnclear(
            f"The memberships {one_line(selection.memberships)} have both a column "
            f"{one_line(SEGMENTS)} and a column {one_line(SEGMENT_NAME)}: remove one of them."
        )
    if marks:
        table = table_of(selection.memberships, files, _WHAT)
        names_column = marks.pop()
        has_name_a_row = names_column == SEGMENT_NAME
        check_key(table, selection.customer_id)
        _check_names(table, names_column, has_name_a_row=has_name_a_row)
        return Membership(table=table, names_column=names_column, has_name_a_row=has_name_a_row)
    if PurePosixPath(selection.memberships).name == files[0].name:  # one file, not a folder of them
        raise MembershipUnclear(
            f"The memberships {one_line(selection.memberships)} have neither a column "
            f"{one_line(SEGMENTS)} nor a column {one_line(SEGMENT_NAME)}: give a table that has "
            "one, or the folder with one table a segment."
        )
    return _find_folders(files, selection)


def _find_folders(files: Iterable[FoundFile], selection: Selection) -> Membership:
    by_segment: dict[str, list[FoundFile]] = {}
    for file in files:
        by_segment.setdefault(segment_of(file.name), []).append(file)
    check_known(selection.segments, by_segment, _WHAT)
    folders: dict[str, Table] = {}
    for name in selection.segments:
        table = table_of(selection.memberships, by_segment[name], f"members of {one_line(name)}")
        try:
            check_key(table, selection.customer_id)
        except ColumnMissing as missing:
            raise ColumnMissing(
                f"{missing} A folder of memberships holds one table a segment, each with the key "
                f"column, or one table with {one_line(SEGMENTS)} or {one_line(SEGMENT_NAME)}."
            ) from None
        folders[name] = table
    return Membership(folders=folders)


def segment_of(file_name: str) -> str:
    """Read the segment's name off its table: `High.parquet`, `High/…`, `SegmentName=High/…`."""
    first = PurePosixPath(file_name).parts[0]
    if first.startswith(f"{SEGMENT_NAME}="):
        return unquote(first.removeprefix(f"{SEGMENT_NAME}="))
    return first[: -len(".parquet")] if first.lower().endswith(".parquet") else first


def _check_names(table: Table, column: str, *, has_name_a_row: bool = False) -> None:
    dtype = table.column_type(column, "segments column")
    in_list = dtype.inner if isinstance(dtype, pl.List | pl.Array) else None
    is_list = in_list is not None and (is_text(in_list) or in_list == pl.Null)
    is_json = any(file.columns.get(column) == _JSON for file in table.files)
    may_list = not has_name_a_row and (is_list or is_json)
    if not (is_text(dtype) or dtype == pl.Null or may_list):
        raise ColumnTypeWrong(
            f"The column {one_line(column)} of the {table.what} is {type_name(dtype)} and cannot "
            "name segments: it holds text, a list of text, or a JSON list of names as text."
        )


def _members_by_column(profiles: Table, column: str, selection: Selection) -> Members:
    judge = NamesJudge(profiles, column, selection.segments)
    kept = [
        rows.filter(judge.is_member(frame[column]))
        for rows, frame in profiles.iter_slices([column])
    ]
    judge.finish()
    rows = pl.concat(kept) if kept else pl.Series("row", [], pl.UInt32)
    return Members(rows, 0)


def _member_keys(membership: Membership, selection: Selection) -> pl.Series:
    """Collect the keys of the members, as text; one may come several times, and be null."""
    key = selection.customer_id
    kept = [pl.Series(key, [], pl.String)]
    if membership.folders is not None:
        for table in membership.folders.values():
            kept.extend(
                frame.select(key_text(key)).to_series() for _, frame in table.iter_slices([key])
            )
    elif membership.table is not None:
        table, column = membership.table, membership.names_column
        judge = NamesJudge(
            table, column, selection.segments, has_name_a_row=membership.has_name_a_row
        )
        for _, frame in table.iter_slices([key, column]):
            members = frame.filter(judge.is_member(frame[column]))
            kept.append(members.select(key_text(key)).to_series())
        judge.finish()
    return pl.concat(kept)


def _members_by_key(profiles: Table, keys: pl.Series, selection: Selection) -> Members:
    """Join the profiles to the keys by text.

    This holds every key in memory, the only thing in the preparation that grows by more than a
    few bytes a profile: hashes would be smaller, but one that collides mails the wrong person.
    """
    key = selection.customer_id
    row = "row" if key != "row" else "row_number"
    known_keys = keys.drop_nulls()
    wanted = known_keys.alias(key).to_frame().lazy()

    def find_rows(every: pl.LazyFrame) -> pl.LazyFrame:
        keyed = every.with_row_index(row).with_columns(key_text(key))
        return keyed.join(wanted, on=key, how="semi").select(row)

    rows = profiles.query(find_rows, [key]).to_series().sort()
    if rows.is_empty() and not keys.is_empty():
        members = known_keys.n_unique() + keys.null_count()
        raise ColumnTypeWrong(
            f"None of the segments' members ({members:,}) has a profile: check that the column "
            f"{one_line(key)} (--customer-id) holds the same keys in the {_WHAT} "
            f"{one_line(selection.memberships)} and in the {profiles.what} "
            f"{one_line(profiles.location)}, written alike down to leading zeros and upper case."
        )
    # As many rows as keys means that each key is of a customer: no need to count different ones.
    different = rows.len() if known_keys.len() == rows.len() else known_keys.n_unique()
    return Members(rows.cast(pl.UInt32), max(0, different - rows.len()))
