"""The files behind a location: a path, a folder, a glob, or an object-store URL of one."""

import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from pipeline.errors import SourceMissing, SourceUnreadable, one_line

_WILDCARDS = frozenset("*?[")
_SUFFIX = ".parquet"
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


@dataclass(frozen=True, slots=True)
class _Candidate:
    path: str
    name: str


def find_files(location: str, what: str) -> tuple[FoundFile, ...]:
    """Find the Parquet files of a location, sorted by name; raises SourceUnreadable."""
    scheme, is_url, _ = location.partition("://")
    if is_url and scheme not in _SCHEMES:
        raise SourceUnreadable(
            f"The {what} {one_line(location)} are at no store that can be read: give a path, or a "
            "URL that begins with s3:// or abfss://."
        )
    try:
        found = _list_store(location) if "://" in location else _list_local(location)
    except FileNotFoundError:
        raise SourceMissing(
            f"The {what} {one_line(location)} do not exist: check the path."
        ) from None
    # Path and glob refuse some patterns, NUL and unknown users with errors of these kinds.
    except (OSError, ValueError, RuntimeError, pa.ArrowException) as failed:
        raise _unreadable(location, what, failed) from None
    if not found:
        raise SourceMissing(
            f"There is no Parquet file for the {what} in {one_line(location)}: give a *.parquet "
            "file, or a folder or glob that holds some."
        )
    ordered = sorted(found, key=lambda candidate: candidate.name)
    with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as pool:
        return tuple(pool.map(lambda candidate: _read_footer(candidate, what), ordered))


def stat_file(file: FoundFile) -> tuple[int, int] | None:
    """Give a file's size in bytes and its version as they are now; None when it is gone."""
    try:
        return _stat(file.path)
    except (OSError, pa.ArrowException):
        return None


def _list_local(location: str) -> list[_Candidate]:
    path = Path(location).expanduser()
    if path.is_dir():
        return list(_walk(path, path))
    if path.exists() or not _WILDCARDS & set(location):
        path.stat()  # says what is wrong with a path that is not there
        return [_Candidate(str(path), path.name)]
    root = _fixed_part(path)
    found: list[_Candidate] = []
    for match in root.glob(str(path.relative_to(root))):
        if match.is_dir():
            found.extend(_walk(match, root))
        elif _is_visible(match.relative_to(root).parts):
            found.append(_Candidate(str(match), match.relative_to(root).as_posix()))
    return found


def _walk(folder: Path, root: Path) -> Iterator[_Candidate]:
    def refuse(failed: OSError) -> None:
        raise failed  # os.walk would pass over a folder that it may not read

    for parent, _, names in os.walk(folder, onerror=refuse, followlinks=True):
        for name in names:
            path = Path(parent, name)
            inside = path.relative_to(root)
            if inside.suffix.lower() == _SUFFIX and _is_visible(inside.parts):
                yield _Candidate(str(path), inside.as_posix())


def _fixed_part(path: Path) -> Path:
    """Give the folder above the first wildcard."""
    fixed = Path(path.anchor)
    for part in path.relative_to(path.anchor).parts:
        if _WILDCARDS & set(part):
            break
        fixed /= part
    return fixed


def _list_store(location: str) -> list[_Candidate]:
    """List an object store. Names are relative to the location, or to what is before a wildcard."""
    prefix, pattern = _split_url(location)
    store, root = fs.FileSystem.from_uri(prefix)
    info = store.get_file_info(root)
    if info.type == fs.FileType.File:
        return [_Candidate(prefix, PurePosixPath(root).name)]
    if info.type == fs.FileType.NotFound:
        raise FileNotFoundError(location)
    files = store.get_file_info(fs.FileSelector(root, recursive=True))
    inside = [
        (entry.path[len(root.rstrip("/")) :].lstrip("/"))
        for entry in files
        if entry.type == fs.FileType.File
    ]
    return [
        _Candidate(f"{prefix.rstrip('/')}/{name}", name)
        for name in _matching(inside, pattern)
        if _is_visible(PurePosixPath(name).parts)
    ]


def _split_url(location: str) -> tuple[str, str]:
    scheme, _, rest = location.partition("://")
    parts = rest.split("/")
    fixed = next((i for i, part in enumerate(parts) if _WILDCARDS & set(part)), len(parts))
    return f"{scheme}://{'/'.join(parts[:fixed])}", "/".join(parts[fixed:])


def _matching(names: Iterable[str], pattern: str) -> list[str]:
    """Keep Parquet files of a folder, or what a pattern matches, part by part as a shell does."""
    if not pattern:
        return [name for name in names if name.lower().endswith(_SUFFIX)]
    wanted = pattern.split("/")
    return [
        name
        for name in names
        if len(name.split("/")) == len(wanted)
        and all(fnmatchcase(*pair) for pair in zip(name.split("/"), wanted, strict=True))
    ]


def _is_visible(parts: Iterable[str]) -> bool:
    """Pass over what Spark and others keep beside the data: `_SUCCESS`, `_delta_log`, `.crc`."""
    return not any(
        part.startswith(".") or (part.startswith("_") and "=" not in part) for part in parts
    )


def _stat(path: str) -> tuple[int, int]:
    if "://" in path:
        store, inside = fs.FileSystem.from_uri(path)
        info = store.get_file_info(inside)
        if info.type != fs.FileType.File:
            raise FileNotFoundError(path)
        return info.size, info.mtime_ns or 0
    stat = Path(path).stat()
    return stat.st_size, stat.st_mtime_ns


def _read_footer(candidate: _Candidate, what: str) -> FoundFile:
    try:
        size_bytes, version = _stat(candidate.path)
        store, inside = _store_of(candidate.path)
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
    except pa.ArrowInvalid:
        pass
    except (OSError, pa.ArrowException) as failed:
        raise _unreadable(candidate.path, what, failed) from None
    try:
        refusal = _not_parquet(candidate, what)
    except (OSError, pa.ArrowException) as failed:
        raise _unreadable(candidate.path, what, failed) from None
    raise refusal


def _store_of(path: str) -> tuple[fs.FileSystem, str]:
    if "://" in path:
        store, inside = fs.FileSystem.from_uri(path)
        return store, inside
    return fs.LocalFileSystem(), path


def _not_parquet(candidate: _Candidate, what: str) -> SourceUnreadable:
    store, inside = _store_of(candidate.path)
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
