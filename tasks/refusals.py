"""Tell which profiles Constant Contact refused: one by one, or by a line of an accepted file."""

import asyncio
from pathlib import Path

from pipeline import NamedLine, PipelineError, Prepared
from pipeline.outcome import Stop
from pipeline.report import NOT_IMPORTED
from schemas.contact import NOT_ADDED_CODE, REFUSED_CODE
from tasks.session import BatchKey, ExportSession


async def report_refusals(session: ExportSession) -> None:
    """Count who was refused as rejected, and name in the reports whom refusals concern.

    Meant to be called once, when no batch is under way any more.
    """
    prepared, folder = session.prepared, session.report_dir
    if prepared is None or folder is None:
        return
    await asyncio.to_thread(_report_named_lines, session, prepared, folder)
    if session.refused:
        await asyncio.to_thread(_reject_refused, session, prepared)


def _report_named_lines(session: ExportSession, prepared: Prepared, folder: Path) -> None:
    lines = [
        NamedLine(key[1] + line - 2, session.batches[key].file_name, line, _reason_of(session, key))
        for key, named in sorted(session.named_lines.items())
        for line in named
    ]
    try:
        if lines:
            session.not_imported_path = prepared.report_not_imported(lines, folder)
        else:
            (folder / NOT_IMPORTED).unlink(missing_ok=True)  # of an earlier run into this folder
    except (PipelineError, OSError) as error:
        reason = error if isinstance(error, PipelineError) else type(error).__name__
        session.note(f"Which contacts Constant Contact did not import is not reported. {reason}")


def _reason_of(session: ExportSession, key: BatchKey) -> str:
    """Say what lines are named for; where there are errors as well, nobody can tell which."""
    batch = session.batches[key]
    errors = (batch.error_count or 0) + (batch.correctable_count or 0)
    return NOT_ADDED_CODE if batch.cannot_add_to_list_count and not errors else REFUSED_CODE


def _reject_refused(session: ExportSession, prepared: Prepared) -> None:
    count = f"{len(session.refused):,} contact{'s' if len(session.refused) > 1 else ''}"
    session.note(
        f"Constant Contact refused {count} even without the others of the batch: rejected as "
        "refused_by_api."
    )
    try:
        session.prepared = prepared.without_refused(session.refused)
    except PipelineError as error:
        session.prepared = prepared.counting_refused(len(session.refused))
        session.stop = session.stop or Stop(
            f"Whom Constant Contact refused could not be added to the list of rejects. {error}"
        )
