"""A table of Parquet files wherever it is, read in slices so that memory does not grow with it."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import polars as pl
from polars import selectors

from pipeline.columns import Layout, lay_out, scan
from pipeline.errors import ColumnMissing, SourceChanged, SourceUnreadable, one_line, suggest
from pipeline.guard import READ_FAILURES
from pipeline.locations import FoundFile, find_files, stat_file

# 2^17: the million-row groups that pyarrow writes by default divide into eight of them, and the
# usual groups of 100,000 to 131,072 rows are one each.
SLICE_MOST_ROWS = 131_072

# Polars knows no zone such as +05:30, and would give up a table for one column that has it. Values
# are stored in UTC, and are sent in UTC, whatever zone they are shown in.
os.environ.setdefault("POLARS_IGNORE_TIMEZONE_PARSE_ERROR", "1")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it was found: its files in the order of their paths, and its columns.

    Attributes:
        what: what it holds, for messages.
        location: where it is, as it was asked for.
        files: its files.
        layout: what its columns are read as.
    """

    what: str
    location: str
    files: tuple[FoundFile, ...]
    layout: Layout

    @property
    def rows(self) -> int:
        """Count the rows, from the files' footers."""
        return sum(file.rows for file in self.files)

    def column_type(self, column: str, setting: str) -> pl.DataType:
        """Give the type that a column is read as.

        Raises:
            ColumnMissing: there is none; the nearest names there are are given.
            SourceUnreadable: it is not one and the same in all files.
        """
        if column in self.layout.differing:
            raise SourceUnreadable(self.layout.differing[column])
        if column in self.layout.types:
            return self.layout.types[column]
        raise ColumnMissing(
            f"The {self.what} {one_line(self.location)} have no column {one_line(column)} "
            f"({setting}): {suggest(column, self.layout.types)}"
        )

    def has_column(self, column: str) -> bool:
        """Say whether any file has a column."""
        return column in self.layout.types

    def snapshot(self) -> list[list[str | int]]:
        """Describe the files so that any change shows, and a move of the whole store does not."""
        return [[file.name, file.size_bytes, file.version] for file in self.files]

    def check_unchanged(self) -> None:
        """Raise SourceChanged unless every file is still the one that was found."""
        for file in self.files:
            self._check_file(file)

    def query(
        self, ask: Callable[[pl.LazyFrame], pl.LazyFrame], columns: Sequence[str]
    ) -> pl.DataFrame:
        """Answer a lazy query over these columns of the whole table, rows in the table's order.

        Raises SourceChanged when a file is not the one that was found any more, SourceUnreadable
        naming the file that is damaged.
        """
        whole = pl.concat([self._scan(file, columns) for file in self.files])
        answer: pl.DataFrame | None = None
        with suppress(*READ_FAILURES):
            answer = ask(whole).collect(engine="streaming")
        self.check_unchanged()
        if answer is None:
            for _ in self.iter_slices(columns):  # finds the file whose rows cannot be read
                pass
            raise SourceUnreadable(
                f"The {self.what} {one_line(self.location)} could not be read to their end, and "
                "then could: start the export again."
            )
        return answer

    def iter_slices(
        self, columns: Sequence[str], rows: pl.Series | None = None
    ) -> Iterator[tuple[pl.Series, pl.DataFrame]]:
        """Yield row numbers (u32) and these columns of at most 131,072 rows at a time.

        As `map_slices`, with the slices as they are.
        """
        return self.map_slices(lambda numbers, frame: (numbers, frame), columns, rows)

    def map_slices(
        self,
        transform: Callable[[pl.Series, pl.DataFrame], T],
        columns: Sequence[str],
        rows: pl.Series | None = None,
    ) -> Iterator[T]:
        """Yield what a function makes of each slice, in the order of the rows.

        Args:
            transform: takes row numbers (u32) and the columns of at most 131,072 rows, in the
                thread that read them, so that one slice is made while another is used.
            columns: the columns to read; no other is touched.
            rows: ascending row numbers to read; all of them when None. Slices without any are
                not read at all.

        One slice is made ahead, however slow the consumer is. Raises SourceChanged when a file is
        not the one that was found any more.
        """
        needed = list(dict.fromkeys(columns))

        def read(parts: Sequence[_Part], first_row: int, wanted: pl.Series | None) -> T:
            return transform(*self._read_slice(parts, first_row, needed, wanted))

        with _one_ahead() as pool:
            waiting: Future[T] | None = None
            for parts, first_row in _plan_slices(self.files):
                wanted = _wanted_rows(parts, first_row, rows)
                if wanted is not None and wanted.is_empty():
                    continue
                reading = pool.submit(read, parts, first_row, wanted)
                if waiting is not None:
                    yield waiting.result()
                waiting = reading
            if waiting is not None:
                yield waiting.result()

    def _read_slice(
        self,
        parts: Sequence["_Part"],
        first_row: int,
        columns: Sequence[str],
        wanted: pl.Series | None,
    ) -> tuple[pl.Series, pl.DataFrame]:
        row_count = sum(part.rows for part in parts)
        frame: pl.DataFrame | None = None
        with suppress(*READ_FAILURES):
            frame = pl.concat([self._scan_part(part, columns) for part in parts]).collect()
        self._check_parts_unchanged(parts)
        if frame is None or frame.height != row_count:
            raise self._damaged(parts)
        if wanted is None:
            numbers = pl.int_range(first_row, first_row + row_count, dtype=pl.UInt32, eager=True)
            return numbers, frame
        if wanted.len() == row_count:
            return wanted, frame
        return wanted, frame[wanted - first_row]

    def _scan_part(self, part: "_Part", columns: Sequence[str]) -> pl.LazyFrame:
        rows = self._scan(part.file, columns)
        # Many slices put together take Polars quadratic time, and many parts are whole files.
        return rows if part.rows == part.file.rows else rows.slice(part.offset, part.rows)

    def _scan(self, file: FoundFile, columns: Sequence[str]) -> pl.LazyFrame:
        return scan(file, columns).select(
            # By selector, for `*` and `^…$` may be names.
            selectors.by_name(column).cast(self.layout.types[column])
            if column in self.layout.cast
            else selectors.by_name(column)
            for column in columns
        )

    def _check_parts_unchanged(self, parts: Sequence["_Part"]) -> None:
        for part in parts:
            self._check_file(part.file)

    def _check_file(self, file: FoundFile) -> None:
        if stat_file(file) != (file.size_bytes, file.version):
            raise SourceChanged(
                f"The file {one_line(file.path)} of the {self.what} was rewritten during the "
                "export: start it again once the file is complete."
            )

    def _damaged(self, parts: Sequence["_Part"]) -> SourceUnreadable:
        names = " or ".join(one_line(part.file.path) for part in parts[:3])
        return SourceUnreadable(
            f"The file {names} of the {self.what} is damaged: its rows cannot be read; have it "
            "written again."
        )


def open_table(location: str, what: str = "profiles") -> Table:
    """Find a table's files and columns, reading footers only; raises SourceUnreadable.

    Args:
        location: a Parquet file, a folder (searched through, hidden and `_` names aside), a glob,
            or an object-store URL of one of these.
        what: what the table holds, for messages.
    """
    return table_of(location, find_files(location, what), what)


def table_of(location: str, files: Sequence[FoundFile], what: str) -> Table:
    """Make a table of files already found; raises SourceUnreadable when one cannot be read."""
    return Table(what, location, tuple(files), lay_out(files, what))


@dataclass(frozen=True, slots=True)
class _Part:
    """Some consecutive rows of one file."""

    file: FoundFile
    offset: int
    rows: int


def _plan_slices(files: Sequence[FoundFile]) -> Iterator[tuple[list[_Part], int]]:
    """Plan slices as whole row groups: large ones cut up evenly, small ones and files put together.

    Yields parts and the number of their first row. Cutting along row groups reads nothing twice.
    """
    pending: list[_Part] = []
    first_row = pending_rows = 0
    for file in files:
        offset = 0
        for group_rows in file.row_group_rows:
            for piece_rows in _cut_evenly(group_rows):
                if pending and pending_rows + piece_rows > SLICE_MOST_ROWS:
                    yield pending, first_row
                    first_row += pending_rows
                    pending, pending_rows = [], 0
                _append(pending, _Part(file, offset, piece_rows))
                offset += piece_rows
                pending_rows += piece_rows
    if pending:
        yield pending, first_row


def _cut_evenly(group_rows: int) -> list[int]:
    pieces = -(-group_rows // SLICE_MOST_ROWS)
    bounds = [piece * group_rows // pieces for piece in range(pieces + 1)] if pieces else []
    return [end - start for start, end in pairwise(bounds)]


def _append(parts: list[_Part], part: _Part) -> None:
    """Append a part, as one with the part before it when both belong to one file."""
    if parts and parts[-1].file is part.file:
        last = parts.pop()
        part = _Part(part.file, last.offset, last.rows + part.rows)
    parts.append(part)


def _wanted_rows(
    parts: Sequence[_Part], first_row: int, rows: pl.Series | None
) -> pl.Series | None:
    if rows is None:
        return None
    end = first_row + sum(part.rows for part in parts)
    start_at = rows.search_sorted(first_row, side="left")
    return rows.slice(start_at, rows.search_sorted(end, side="left") - start_at)


@contextmanager
def _one_ahead() -> Iterator[ThreadPoolExecutor]:
    """Lend a thread, and on leaving early do not wait for what it still reads."""
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead")
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
