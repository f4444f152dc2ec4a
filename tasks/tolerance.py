"""What shows a run is not the run: where Prefect does not take it, the export goes on."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

ANSWER_TIMEOUT_S = 20.0

_log = logging.getLogger("segment_export.tasks")


@asynccontextmanager
async def tolerating_prefect(what: str = "an artifact") -> AsyncIterator[None]:
    """Go on where Prefect's API does not take something, or not in time."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            yield
    except Exception as error:  # noqa: BLE001 -- whatever it is, contacts matter more
        _log.warning("Prefect did not take %s (%s)", what, type(error).__name__)
