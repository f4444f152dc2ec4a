"""The two files that say who did not go and what was left out, private to their owner."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.private_files import explaining, make_private_folder, open_private_file

REJECTS = "rejects.parquet"
AMENDED = "amended.parquet"
NOT_IMPORTED = "not_imported.parquet"
_Columns = Mapping[str, pl.DataType]

REJECT_COLUMNS: _Columns = {
    "customer_id": pl.String(),
    "verdict": pl.String(),
    "reason": pl.String(),
    "reasons": pl.List(pl.String),
    "field": pl.String(),
    "value": pl.String(),
}
AMEND_COLUMNS: _Columns = {
    "customer_id": pl.String(),
    "field": pl.String(),
    "reason": pl.String(),
    "value": pl.String(),
}
# Contacts that an accepted batch's activity names as errors: whom, and where to look, no values.
NOT_IMPORTED_COLUMNS: _Columns = {
    "customer_id": pl.String(),
    "reason": pl.String(),
    "file_name": pl.String(),
    "line": pl.UInt32(),
}
# Whether an amended contact goes is known only when all duplicates are.
_AMEND_CANDIDATES: _Columns = {**AMEND_COLUMNS, "row": pl.UInt32()}


class VerdictReport:
    """Write rejects and amendments as they are found; a context manager.

    Both are written under temporary names and appear together, complete, with `finish`; left
    without it, nothing remains.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.rejects_path = folder / REJECTS
        self.amended_path = folder / AMENDED
        self.reject_rows = 0
        with explaining(folder):
            make_private_folder(folder)
            self._rejects = _PrivateParquet(folder, REJECTS, REJECT_COLUMNS)
            self._amend_candidates = _PrivateParquet(folder, "candidates", _AMEND_CANDIDATES)

    def add_rejects(self, rejects: pl.DataFrame) -> None:
        """Append profiles that do not go, with the columns of REJECT_COLUMNS."""
        self.reject_rows += rejects.height
        with explaining(self._folder):
            self._rejects.write(rejects)

    def add_amended(self, amended: pl.DataFrame) -> None:
        """Append values left out, with the columns of AMEND_COLUMNS and the profile's `row`."""
        with explaining(self._folder):
            self._amend_candidates.write(amended)

    def finish(self, lost_rows: pl.Series) -> None:
        """Drop the amendments of rows that turned out as duplicates, and publish both files."""
        with explaining(self._folder):
            self._amend_candidates.close()
            amended = _PrivateParquet(self._folder, AMENDED, AMEND_COLUMNS)
            try:
                for candidates in self._amend_candidates.read():
                    of_sent = candidates.filter(~candidates["row"].is_in(lost_rows.implode()))
                    amended.write(of_sent)
                self._rejects.publish(self.rejects_path)
                amended.publish(self.amended_path)
            finally:
                amended.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with explaining(self._folder), ExitStack() as both:
            both.callback(self._amend_candidates.discard)
            both.callback(self._rejects.discard)


class _PrivateParquet:
    """A Parquet file under a temporary name, readable by its owner alone from its first byte."""

    def __init__(self, folder: Path, name: str, columns: _Columns) -> None:
        self._path = folder / f".{name}.{os.getpid()}.part"
        self._columns = columns
        self._file: IO[bytes] = os.fdopen(open_private_file(self._path), "wb")
        schema = pl.DataFrame(schema=columns).to_arrow().schema
        self._writer = pq.ParquetWriter(self._file, schema, compression="zstd")

    def write(self, rows: pl.DataFrame) -> None:
        if not rows.is_empty():
            self._writer.write_table(rows.select(self._columns.keys()).to_arrow())

    def close(self) -> None:
        with closing(self._file):
            self._writer.close()

    def read(self) -> Iterator[pl.DataFrame]:
        return _read_parquet(self._path)

    def publish(self, path: Path) -> None:
        self.close()
        self._path.replace(path)

    def discard(self) -> None:
        try:
            self.close()
        finally:
            self._path.unlink(missing_ok=True)


def append_rejects(path: Path, rejects: pl.DataFrame) -> None:
    """Add profiles to a list of rejects that is published; raises ReportUnwritable.

    Those that are in it stay as they are: another run of the same delivery may have added them.
    """
    absent = rejects

    def keep(lines: pl.DataFrame) -> pl.DataFrame:
        nonlocal absent
        absent = absent.filter(~absent["customer_id"].is_in(lines["customer_id"].implode()))
        return lines

    _rewrite(path, REJECT_COLUMNS, keep=keep, more=lambda: absent)


def drop_amended(path: Path, customer_ids: pl.Series) -> None:
    """Take profiles out of a published list of amended contacts; raises ReportUnwritable."""
    _rewrite(
        path,
        AMEND_COLUMNS,
        keep=lambda lines: lines.filter(~lines["customer_id"].is_in(customer_ids.implode())),
    )


def write_not_imported(folder: Path, lines: pl.DataFrame) -> Path:
    """Write who is in an accepted batch but not in the list; raises ReportUnwritable."""
    path = folder / NOT_IMPORTED
    with explaining(folder):
        parquet = _PrivateParquet(folder, NOT_IMPORTED, NOT_IMPORTED_COLUMNS)
        try:
            parquet.write(lines)
            parquet.publish(path)
        finally:
            parquet.discard()
    return path


def _rewrite(
    path: Path,
    columns: _Columns,
    *,
    keep: Callable[[pl.DataFrame], pl.DataFrame],
    more: Callable[[], pl.DataFrame] | None = None,
) -> None:
    with explaining(path.parent):
        rewritten = _PrivateParquet(path.parent, path.name, columns)
        try:
            for lines in _read_parquet(path):
                rewritten.write(keep(lines))
            if more is not None:
                rewritten.write(more())
            rewritten.publish(path)
        finally:
            rewritten.discard()


def _read_parquet(path: Path) -> Iterator[pl.DataFrame]:
    with pq.ParquetFile(path) as parquet:
        for batch in parquet.iter_batches():
            yield pl.DataFrame(pl.from_arrow(pa.Table.from_batches([batch])))


def reject_lines(
    rejected: pl.DataFrame, breaches: pl.DataFrame, columns: dict[str, str]
) -> pl.DataFrame:
    """Put the breaches of each rejected profile into one line of the reject report.

    Args:
        rejected: `index`, `customer_id` and the original text of each field under its name.
        breaches: as `schemas.contact.find_breaches` gives them.
        columns: the profiles' column of each field.
    """
    by_profile = breaches.group_by("index", maintain_order=True).agg(
        pl.col("field").first(),
        pl.col("reason").first(),
        pl.col("reason").alias("reasons"),
    )
    value = pl.coalesce(
        [pl.when(pl.col("field") == field).then(pl.col(f"raw {field}")) for field in columns]
    )
    return by_profile.join(rejected, on="index").select(
        "customer_id",
        pl.lit("rejected").alias("verdict"),
        "reason",
        "reasons",
        pl.col("field").replace_strict(columns, return_dtype=pl.String),
        value.alias("value"),
    )
