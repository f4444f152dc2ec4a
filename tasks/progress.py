"""A progress artifact that moves while an export runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID

from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact

from tasks.session import ExportSession, Stage

PROGRESS_ARTIFACT_KEY = "export-progress"
UPDATE_EVERY_S = 1.0

# How much of the bar each stage is worth, in percent.
STAGE_SHARES = {Stage.PREPARE: 20.0, Stage.UPLOAD: 50.0, Stage.IMPORT: 30.0}


@asynccontextmanager
async def showing_progress(session: ExportSession) -> AsyncIterator[None]:
    """Keep a progress artifact of the run up to date, at most once a second."""
    artifact_id = await acreate_progress_artifact(
        progress=0.0, key=PROGRESS_ARTIFACT_KEY, description="How far the export is."
    )
    updates = asyncio.create_task(_keep_updating(session, artifact_id))
    try:
        yield
    finally:
        updates.cancel()
        with suppress(asyncio.CancelledError):
            await updates
        await aupdate_progress_artifact(artifact_id, progress=percent_done(session))


async def _keep_updating(session: ExportSession, artifact_id: UUID) -> None:
    shown = 0.0
    while True:
        await asyncio.sleep(UPDATE_EVERY_S)
        if (percent := percent_done(session)) != shown:
            await aupdate_progress_artifact(artifact_id, progress=percent)
            shown = percent


def percent_done(session: ExportSession) -> float:
    """Tell how much of the run is done, in percent."""
    percent = 0.0
    for stage, share in STAGE_SHARES.items():
        progress = session.progress.get(stage)
        if progress is not None and progress.total:
            percent += share * min(1.0, progress.done / progress.total)
    return round(percent, 1)
