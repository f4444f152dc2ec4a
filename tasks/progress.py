"""A progress artifact that moves while an export runs."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact

from tasks.session import ExportSession, Stage

if TYPE_CHECKING:
    from uuid import UUID

PROGRESS_ARTIFACT_KEY = "export-progress"
UPDATE_EVERY_S = 1.0

# How much of the bar each stage is worth, in percent.
STAGE_SHARES = {Stage.PREPARE: 20.0, Stage.UPLOAD: 50.0, Stage.IMPORT: 30.0}
COMPLETE = 100.0

_log = logging.getLogger("segment_export.tasks")


@asynccontextmanager
async def showing_progress(session: ExportSession) -> AsyncIterator[None]:
    """Keep a progress artifact of the run up to date, at most once a second."""
    artifact = _ProgressArtifact()
    updates = asyncio.create_task(artifact.keep_following(session))
    try:
        yield
    finally:
        updates.cancel()
        with suppress(asyncio.CancelledError):
            await updates
        await artifact.show(percent_done(session))


@asynccontextmanager
async def tolerating_prefect() -> AsyncIterator[None]:
    """Go on where Prefect's API does not take an artifact: it shows a run, it is not the run."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 -- whatever it is, contacts matter more
        _log.warning("Prefect did not take an artifact (%s)", type(error).__name__)


class _ProgressArtifact:
    def __init__(self) -> None:
        self._id: UUID | None = None
        self._shown: float | None = None

    async def keep_following(self, session: ExportSession) -> None:
        while True:
            await self.show(percent_done(session))
            await asyncio.sleep(UPDATE_EVERY_S)

    async def show(self, percent: float) -> None:
        if percent == self._shown:
            return
        async with tolerating_prefect():
            if self._id is None:
                self._id = await acreate_progress_artifact(
                    progress=percent,
                    key=PROGRESS_ARTIFACT_KEY,
                    description="How far the export is.",
                )
            else:
                await aupdate_progress_artifact(self._id, progress=percent)
            self._shown = percent


def percent_done(session: ExportSession) -> float:
    """Tell how much of the run is done, in percent."""
    if session.has_ended_well:
        return COMPLETE
    percent = 0.0
    for stage, share in STAGE_SHARES.items():
        progress = session.progress.get(stage)
        if progress is not None and progress.total:
            percent += share * min(1.0, progress.done / progress.total)
    return round(percent, 1)
