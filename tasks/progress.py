"""How a run goes on, shown in Prefect: a progress artifact that moves, and an event a stage."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact

from tasks.events import recall_past, tell_stages
from tasks.session import ExportSession, Stage
from tasks.tolerance import ANSWER_TIMEOUT_S, tolerating_prefect
from tasks.undisturbed import undisturbed

if TYPE_CHECKING:
    from uuid import UUID

PROGRESS_ARTIFACT_KEY = "export-progress"
UPDATE_EVERY_S = 1.0

# How much of the bar each stage is worth, in percent.
STAGE_SHARES = {Stage.PREPARE: 20.0, Stage.UPLOAD: 50.0, Stage.IMPORT: 30.0}
COMPLETE = 100.0


@asynccontextmanager
async def showing_progress(session: ExportSession) -> AsyncIterator[None]:
    """Keep Prefect up to date with how a run goes on, at most once a second.

    What stops the run when this block has ended has nothing left to stop, and is passed over.
    """
    artifact = _ProgressArtifact()
    updates = asyncio.create_task(artifact.keep_following(session))
    try:
        yield
    finally:
        with suppress(asyncio.CancelledError):
            await undisturbed(artifact.end(updates, session), limit_s=ANSWER_TIMEOUT_S)


class _ProgressArtifact:
    def __init__(self) -> None:
        self._id: UUID | None = None
        self._shown: float | None = None

    async def keep_following(self, session: ExportSession) -> None:
        await recall_past(session)
        while True:
            tell_stages(session)
            await self.show(session)
            await asyncio.sleep(UPDATE_EVERY_S)

    async def end(self, updates: asyncio.Task[None], session: ExportSession) -> None:
        updates.cancel()
        await asyncio.wait([updates])
        await self.show(session)

    async def show(self, session: ExportSession) -> None:
        percent = percent_done(session)
        if percent == self._shown or session.past is None:
            return
        async with tolerating_prefect():
            if self._id is None:
                self._id = await acreate_progress_artifact(
                    progress=percent,
                    key=f"{PROGRESS_ARTIFACT_KEY}-{session.past.slug}",
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
