"""The folder of a run's report: the only place where values of customers may be written."""

from datetime import UTC, datetime
from pathlib import Path

from pipeline import ReportUnwritable, export_slug
from pipeline.errors import one_line
from pipeline.listing import reads_from
from pipeline.private_files import make_private_folder
from pipeline.report import AMENDED, NOT_IMPORTED, REJECTS
from schemas.export import ExportRequest


def open_report_folder(request: ExportRequest) -> Path:
    """Make the folder for a run's report, readable by its owner only; return its absolute path.

    Without a folder in the request it is a new one under `~/.segment-export/reports`.

    Raises:
        ReportUnwritable: it cannot be made or made private, or lies in what is read.
    """
    folder = _named_folder(request) if request.report_dir else _new_folder(request)
    return make_private_folder(folder)


def _named_folder(request: ExportRequest) -> Path:
    try:
        folder = Path(request.report_dir).expanduser()
    except RuntimeError:
        raise ReportUnwritable(
            f"The folder {one_line(request.report_dir)} is of a user whom this machine does not "
            "know: choose another (--report-dir)."
        ) from None
    for what, location in (("profiles", request.profiles), ("memberships", request.memberships)):
        if any(reads_from(location, folder / name) for name in (REJECTS, AMENDED, NOT_IMPORTED)):
            raise ReportUnwritable(
                f"The report folder {one_line(folder)} lies within {one_line(location)}, and the "
                f"next run would take its files for {what}: choose another (--report-dir)."
            )
    return folder


def _new_folder(request: ExportRequest) -> Path:
    name = export_slug(request.name or "-".join(request.segments))
    moment = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    return Path.home() / ".segment-export" / "reports" / f"{name}-{moment}"


def discard_if_empty(folder: Path) -> None:
    """Remove a report folder into which nothing was written."""
    if not any(folder.iterdir()):
        folder.rmdir()
