"""A table of Parquet files wherever it is, read in slices so that memory does not grow with it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import polars as pl

from pipeline.errors import ColumnMissing, SourceChanged, SourceUnreadable, one_line, suggest
from pipeline.guard import READ_FAILURES
from pipeline.locations import FoundFile, find_files, stat_file

# 2^17: the million-row groups that pyarrow writes by default divide into eight of them, and the
# usual groups of 100,000 to 131,072 rows are one each.
SLICE_MOST_ROWS = 131_072

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it was found: its files in the order of their paths, and its columns."""

    what: str
    location: str
    files: tuple[FoundFile, ...]
    schema: Mapping[str, pl.DataType]

    @property
    def rows(self) -> int:
        """Count the rows, from the files' footers."""
        return sum(file.rows for file in self.files)

    def column_type(self, column: str, setting: str) -> pl.DataType:
        """Give a column's type; raises ColumnMissing with the nearest names there are."""
        if column in self.schema:
            return self.schema[column]
        raise ColumnMissing(
            f"The {self.what} {one_line(self.location)} have no column {one_line(column)} "
            f"({setting}): {suggest(column, self.schema)}"
        )

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
        whole = pl.concat([_scan(file.path, columns) for file in self.files])
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
            frame = pl.concat(
                [_scan(p.file.path, columns).slice(p.offset, p.rows) for p in parts]
            ).collect()
        self._check_parts_unchanged(parts)
        if frame is None or frame.height != row_count:
            raise self._damaged(parts)
        if wanted is None:
            numbers = pl.int_range(first_row, first_row + row_count, dtype=pl.UInt32, eager=True)
            return numbers, frame
        if wanted.len() == row_count:
            return wanted, frame
        return wanted, frame[wanted - first_row]

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
    """Make a table of files already found; raises SourceUnreadable when their columns differ."""
    first = files[0]
    for file in files[1:]:
        if file.columns != first.columns:
            raise SourceUnreadable(
                f"The file {one_line(file.path)} of the {what} has other columns than "
                f"{one_line(first.name)}: {_difference(first.columns, file.columns)}. Give a "
                "folder whose files are one table."
            )
    try:
        schema = dict(_scan(first.path, None).collect_schema())
    except READ_FAILURES:
        raise SourceUnreadable(
            f"The file {one_line(first.path)} of the {what} holds columns that cannot be read: "
            "have it written again."
        ) from None
    return Table(what, location, tuple(files), schema)


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


def _scan(path: str, columns: Sequence[str] | None) -> pl.LazyFrame:
    # A name may hold brackets or `key=value` folders: neither is a pattern or a column to us.
    frame = pl.scan_parquet(path, glob=False, hive_partitioning=False)
    return frame if columns is None else frame.select(columns)


def _difference(expected: Mapping[str, str], found: Mapping[str, str]) -> str:
    for column, dtype in expected.items():
        if column not in found:
            return f"{one_line(column)} is missing"
        if found[column] != dtype:
            return f"{one_line(column)} is {found[column]} instead of {dtype}"
    extra = next(column for column in found if column not in expected)
    return f"{one_line(extra)} is in this one only"


@contextmanager
def _one_ahead() -> Iterator[ThreadPoolExecutor]:
    """Lend a thread, and on leaving early do not wait for what it still reads."""
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead")
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
