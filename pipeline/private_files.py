"""Folders and files that only their owner may read: where values of customers may be written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import ReportUnwritable, one_line

FOLDER_MODE = 0o700
FILE_MODE = 0o600


def make_private_folder(folder: Path) -> Path:
    """Make a folder that only its owner may look into, and return its absolute path.

    Raises:
        ReportUnwritable: it cannot be made, or others see what it holds already: making that
            private could break what uses it.
    """
    folder = folder.absolute()
    with explaining(folder):
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        is_shared = bool(folder.stat().st_mode & ~FOLDER_MODE & 0o777)
        if is_shared and any(folder.iterdir()):
            raise ReportUnwritable(
                f"The folder {one_line(folder)} is in use and can be read by others: name a new "
                "one, or make it private first with chmod 700."
            )
        folder.chmod(FOLDER_MODE)
    return folder


def open_private_file(path: Path) -> int:
    """Open a new or emptied file that only its owner may read, and return its descriptor."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, FILE_MODE)


def write_private_file(path: Path, text: str) -> None:
    """Write a text file that only its owner may read; raises ReportUnwritable."""
    with explaining(path.parent), os.fdopen(open_private_file(path), "w", encoding="utf-8") as file:
        file.write(text)


@contextmanager
def explaining(folder: Path) -> Iterator[None]:
    """Turn what the file system says into an error that names the folder."""
    try:
        yield
    except OSError as failed:
        reason = failed.strerror or type(failed).__name__
        raise ReportUnwritable(
            f"The folder {one_line(folder)} cannot be written ({one_line(reason)}): choose another."
        ) from None
