"""The folder of a run's report: the only place where values of customers may be written."""

import os
from datetime import UTC, datetime
from pathlib import Path

from pipeline import export_slug
from schemas.export import ExportRequest
from tasks.errors import ReportFolderUnusable

PRIVATE_FOLDER_MODE = 0o700
PRIVATE_FILE_MODE = 0o600


def open_report_folder(request: ExportRequest) -> Path:
    """Make the folder for a run's report, readable by its owner only; return its absolute path.

    Without a folder in the request it is a new one under `~/.segment-export/reports`.

    Raises:
        ReportFolderUnusable: it cannot be made, or belongs to somebody else.
    """
    folder = Path(request.report_dir).expanduser() if request.report_dir else _new_folder(request)
    return make_private_folder(folder)


def make_private_folder(folder: Path) -> Path:
    """Make a folder that only its owner may look into, and return its absolute path.

    Raises:
        ReportFolderUnusable: it cannot be made, or belongs to somebody else.
    """
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(PRIVATE_FOLDER_MODE)
    except OSError as error:
        raise ReportFolderUnusable(
            f"The folder {folder} cannot be used ({error.strerror}); choose another."
        ) from error
    return folder


def _new_folder(request: ExportRequest) -> Path:
    name = export_slug(request.name or "-".join(request.segments))
    moment = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    return Path.home() / ".segment-export" / "reports" / f"{name}-{moment}"


def discard_if_empty(folder: Path) -> None:
    """Remove a report folder into which nothing was written."""
    if not any(folder.iterdir()):
        folder.rmdir()


def write_private_file(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE_MODE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
