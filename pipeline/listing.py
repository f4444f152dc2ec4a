"""The files that a location means: a path, a folder, a glob, or an object-store URL of one.

Names are relative to the location, or to what is before its first wildcard. Each file is listed
once, however many ways lead to it.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from pyarrow import fs

_WILDCARDS = frozenset("*?[")
_SUFFIX = ".parquet"
_ANY_FOLDERS = "**"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may be Parquet: where it is, and its name within the location."""

    path: str
    name: str


def list_candidates(location: str) -> list[Candidate]:
    """List what a location means, sorted by name; raises what the file system or store raises."""
    found = _list_store(location) if "://" in location else _list_local(location)
    return sorted(found, key=lambda candidate: candidate.name)


def reads_from(location: str, file: Path) -> bool:
    """Say whether a Parquet file, were it there, would be one of a location on this machine.

    Of a location that cannot be looked at it is not known, and whoever reads it is told why.
    """
    local = location.removeprefix("file://")
    if not local or "://" in local:
        return False
    try:
        path = Path(local).expanduser()
        root = path if path.is_dir() else _fixed_part(path)
        inside = file.resolve().relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError):
        return False
    pattern = "" if path.is_dir() else path.relative_to(root).as_posix()
    is_location_itself = not inside.parts
    return is_location_itself or bool(_matching([inside.as_posix()], pattern))


def open_store(path: str) -> tuple[fs.FileSystem, str]:
    """Give the store of a path or URL, and the path within it.

    A URL is written as its names are, and as Polars takes it; a URI's reserved characters are
    none here.
    """
    if "://" not in path:
        return fs.LocalFileSystem(), path
    store, inside = fs.FileSystem.from_uri(quote(path, safe=":/@"))
    return store, inside


def _list_local(location: str) -> list[Candidate]:
    path = Path(location).expanduser()
    if path.is_dir():
        return _visible(_parquet_in(path), path)
    if path.exists() or not _WILDCARDS & set(location):
        path.stat()  # says what is wrong with a path that is not there
        return [Candidate(str(path), path.name)]
    root = _fixed_part(path)
    pattern = path.relative_to(root)
    if _ANY_FOLDERS in pattern.parts:  # which pathlib looks for in no folder behind a link
        above = pattern.parts[: pattern.parts.index(_ANY_FOLDERS)]
        tops = sorted(root.glob(str(Path(*above)))) if above else [root]
        below = (file for top in tops if top.is_dir() for file in _walk(top))
        meant = _matching((file.relative_to(root).as_posix() for file in below), str(pattern))
        return _visible((root / name for name in meant), root)
    matches = sorted(root.glob(str(pattern)))
    files = (file for one in matches for file in (_parquet_in(one) if one.is_dir() else [one]))
    return _visible(files, root)


def _visible(files: Iterable[Path], root: Path) -> list[Candidate]:
    """Name files by where they are below a folder, each once, hidden ones left aside."""
    found: dict[str, Candidate] = {}
    for file in files:
        inside = file.relative_to(root)
        if _is_visible(inside.parts):
            found.setdefault(os.path.realpath(file), Candidate(str(file), inside.as_posix()))
    return list(found.values())


def _parquet_in(folder: Path) -> Iterator[Path]:
    return (file for file in _walk(folder) if file.suffix.lower() == _SUFFIX)


def _walk(folder: Path) -> Iterator[Path]:
    """Find the files below a folder, also behind links; a circle of those ends."""

    def refuse(failed: OSError) -> None:
        raise failed  # os.walk would pass over a folder that it may not read

    seen = {os.path.realpath(folder)}
    for parent, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        visible = [name for name in sorted(folders) if _is_visible([name])]
        places = {os.path.realpath(Path(parent, name)): name for name in reversed(visible)}
        folders[:] = sorted(name for place, name in places.items() if place not in seen)
        seen |= places.keys()
        yield from (Path(parent, name) for name in sorted(names))


def _fixed_part(path: Path) -> Path:
    """Give the folder above the first wildcard."""
    fixed = Path(path.anchor)
    for part in path.relative_to(path.anchor).parts:
        if _WILDCARDS & set(part):
            break
        fixed /= part
    return fixed


def _list_store(location: str) -> list[Candidate]:
    prefix, pattern = _split_url(location)
    store, root = open_store(prefix)
    base = root if location.startswith("file:") else prefix  # Polars takes a file by its path
    info = store.get_file_info(root)
    if info.type == fs.FileType.File:
        return [Candidate(base, PurePosixPath(root).name)]
    if info.type == fs.FileType.NotFound:
        raise FileNotFoundError(location)
    files = store.get_file_info(fs.FileSelector(root, recursive=True))
    inside = [
        entry.path[len(root.rstrip("/")) :].lstrip("/")
        for entry in files
        if entry.type == fs.FileType.File
    ]
    return [Candidate(f"{base.rstrip('/')}/{name}", name) for name in _matching(inside, pattern)]


def _split_url(location: str) -> tuple[str, str]:
    scheme, _, rest = location.partition("://")
    parts = rest.split("/")
    fixed = next((i for i, part in enumerate(parts) if _WILDCARDS & set(part)), len(parts))
    return f"{scheme}://{'/'.join(parts[:fixed])}", "/".join(parts[fixed:])


def _matching(names: Iterable[str], pattern: str) -> list[str]:
    """Keep what a pattern means: files that it matches, and Parquet files below what it matches.

    It is matched part by part as a shell does, `**` being any number of folders.
    """
    wanted = pattern.strip("/").split("/") if pattern else []
    return [name for name in names if _is_meant(PurePosixPath(name).parts, wanted)]


def _is_meant(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    if not _is_visible(parts):
        return False
    is_itself = bool(wanted) and wanted[-1] != _ANY_FOLDERS and _matches(parts, wanted)
    return is_itself or (
        parts[-1].lower().endswith(_SUFFIX)
        and any(_matches(parts[:depth], wanted) for depth in range(len(parts)))
    )


def _matches(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    if not wanted:
        return not parts
    if wanted[0] == _ANY_FOLDERS:
        return any(_matches(parts[at:], wanted[1:]) for at in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], wanted[0]) and _matches(parts[1:], wanted[1:])


def _is_visible(parts: Iterable[str]) -> bool:
    """Pass over what Spark and others keep beside the data: `_SUCCESS`, `_delta_log`, `.crc`."""
    return not any(
        part.startswith(".") or (part.startswith("_") and "=" not in part) for part in parts
    )
