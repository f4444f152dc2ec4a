"""The Parquet files of a location, as their footers and their stores describe them."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from pipeline.errors import SourceMissing, SourceUnreadable, one_line
from pipeline.listing import Candidate, list_candidates, open_store

_MAGIC = b"PAR1"  # the first and last four bytes of every Parquet file
_SCHEMES = frozenset({"s3", "abfs", "abfss", "file"})
_FOOTERS_AT_ONCE = 8  # a store answers slowly but many at a time


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A Parquet file as its footer and its store describe it.

    `name` is its path within the location, with `/` on every system; `version` is the time of its
    last change in nanoseconds, which with the size tells whether it is still the same file.
    """

    path: str
    name: str
    size_bytes: int
    version: int
    rows: int
    row_group_rows: tuple[int, ...]
    columns: Mapping[str, str]


def find_files(location: str, what: str) -> tuple[FoundFile, ...]:
    """Find the Parquet files of a location, sorted by name; raises SourceUnreadable."""
    scheme, is_url, _ = location.partition("://")
    if is_url and scheme not in _SCHEMES:
        raise SourceUnreadable(
            f"The {what} {one_line(location)} are at no store that can be read: give a path, or a "
            "URL that begins with s3:// or abfss://."
        )
    try:
        found = list_candidates(location)
    except FileNotFoundError:
        raise SourceMissing(
            f"The {what} {one_line(location)} do not exist: check the path."
        ) from None
    except (UnicodeEncodeError, UnicodeDecodeError) as failed:
        raise SourceUnreadable(
            f"The {what} {one_line(location)} hold a file or folder whose name is not UTF-8, "
            f"{_show_raw(failed.object)}: rename it."
        ) from None
    # Path and glob refuse some patterns, NUL and unknown users with errors of these kinds.
    except (OSError, ValueError, RuntimeError, pa.ArrowException) as failed:
        raise _unreadable(location, what, failed) from None
    if not found:
        raise SourceMissing(
            f"There is no Parquet file for the {what} in {one_line(location)}: give a *.parquet "
            "file, or a folder or glob that holds some."
        )
    with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as pool:
        return tuple(pool.map(lambda candidate: _read_footer(candidate, what), found))


def stat_file(file: FoundFile) -> tuple[int, int] | None:
    """Give a file's size in bytes and its version as they are now; None when it is gone."""
    try:
        return _stat(file.path)
    except (OSError, pa.ArrowException):
        return None


def _stat(path: str) -> tuple[int, int]:
    if "://" in path:
        store, inside = open_store(path)
        info = store.get_file_info(inside)
        if info.type != fs.FileType.File:
            raise FileNotFoundError(path)
        return info.size, info.mtime_ns or 0
    stat = Path(path).stat()
    return stat.st_size, stat.st_mtime_ns


def _read_footer(candidate: Candidate, what: str) -> FoundFile:
    try:
        size_bytes, version = _stat(candidate.path)
        store, inside = open_store(candidate.path)
        with store.open_input_file(inside) as opened, pq.ParquetFile(opened) as parquet:
            metadata = parquet.metadata
            schema = parquet.schema_arrow
            groups = tuple(metadata.row_group(g).num_rows for g in range(metadata.num_row_groups))
            return FoundFile(
                path=candidate.path,
                name=candidate.name,
                size_bytes=size_bytes,
                version=version,
                rows=metadata.num_rows,
                row_group_rows=groups,
                columns={field.name: str(field.type) for field in schema},
            )
    except (UnicodeEncodeError, UnicodeDecodeError) as failed:
        raise _misnamed(candidate, what, failed) from None
    except (OSError, pa.ArrowException) as failed:
        if not _may_be_damage(failed, candidate.path):
            raise _unreadable(candidate.path, what, failed) from None
    try:
        refusal = _not_parquet(candidate, what)
    except (OSError, pa.ArrowException) as failed:
        raise _unreadable(candidate.path, what, failed) from None
    raise refusal


def _may_be_damage(failed: Exception, path: str) -> bool:
    """Tell what a footer's content leads to from what its store does.

    pyarrow says of most damage that it is an OSError, without a number; so are a store's troubles.
    """
    if isinstance(failed, OSError):
        return failed.errno is None and ("://" not in path or "thrift" in str(failed))
    return isinstance(failed, pa.ArrowInvalid | pa.ArrowNotImplementedError)


def _not_parquet(candidate: Candidate, what: str) -> SourceUnreadable:
    store, inside = open_store(candidate.path)
    with store.open_input_file(inside) as opened:
        size_bytes = opened.size()
        starts_well = opened.read(len(_MAGIC)) == _MAGIC
    shown = f"The file {one_line(candidate.path)} of the {what}"
    if size_bytes == 0:
        return SourceUnreadable(f"{shown} is empty (0 bytes): have it written again.")
    if starts_well:
        return SourceUnreadable(
            f"{shown} is damaged or not completely written: have it written again."
        )
    return SourceUnreadable(
        f"{shown} is not Parquet: give a Parquet file (a CSV file must be converted first)."
    )


def _misnamed(
    candidate: Candidate, what: str, failed: UnicodeEncodeError | UnicodeDecodeError
) -> SourceUnreadable:
    shown = f"The file {_show_raw(candidate.path)} of the {what}"
    if isinstance(failed, UnicodeDecodeError):
        return SourceUnreadable(
            f"{shown} has a column whose name is not UTF-8, {_show_raw(failed.object)}: have it "
            "written again."
        )
    return SourceUnreadable(f"{shown} has a name that is not UTF-8: rename it.")


def _show_raw(name: str | bytes) -> str:
    r"""Quote a name that need not be UTF-8, what is none of it as `\xff`."""
    return one_line(os.fsencode(name).decode("utf-8", "backslashreplace"))


def _unreadable(location: str, what: str, failed: Exception) -> SourceUnreadable:
    if isinstance(failed, PermissionError):
        return SourceUnreadable(
            f"The {what} {one_line(location)} may not be read by this user: ask for permission to "
            "read them."
        )
    reason = getattr(failed, "strerror", None) or type(failed).__name__
    return SourceUnreadable(
        f"The {what} {one_line(location)} cannot be read ({one_line(reason)}): check the address "
        "and, for an object store, the credentials in the environment."
    )
