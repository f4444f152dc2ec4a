"""The newest snapshot wins: each contact list has a mark of the date of what it got last.

The mark is a Prefect variable, written before the first upload: a run that dies while it uploads
has changed the list all the same.
"""

import asyncio
import re
from contextlib import suppress
from datetime import UTC, date, datetime

from prefect.client.orchestration import get_client
from prefect.variables import Variable

from tasks.budget import plan_batches
from tasks.errors import ExportRefused, SnapshotOvertaken
from tasks.locks import sole_lock
from tasks.session import ExportSession

ANSWER_TIMEOUT_S = 20.0


class _Unanswered(Exception):
    """Prefect's API cannot tell."""


async def require_newest(session: ExportSession) -> None:
    """Refuse a snapshot that is older than what its list has got, else note that it is coming.

    A run whose delivery is complete already sends nothing, and so goes on. Where Prefect's API
    does not answer, a run of a dated snapshot is refused, for its list may hold newer contacts;
    another delivers what is there now, and goes on.

    Raises:
        SnapshotOvertaken: naming both dates.
        ExportRefused: Prefect's API cannot tell.
    """
    if not session.require_prepared().verdicts.sent:
        return
    ours = session.request.snapshot_date or session.started_at.astimezone(UTC).date()
    may_be_older = not session.request.as_of or session.request.overwrite_newer
    try:
        async with sole_lock(f"newest-{session.list_id}", on_trouble=session.note):
            newest = await _read(session.list_id)
            if newest is None or newest < ours:
                await _write(session.list_id, ours)
    except _Unanswered as error:
        if not may_be_older:
            raise ExportRefused(
                f"Prefect's API cannot tell which snapshot list “{session.list_name}” has got last "
                f"({error}), and an older one must not overwrite it. Run it again when the API "
                "answers."
            ) from None
        session.note(
            f"Prefect's API does not take the date of this snapshot ({error}): a backfill does not "
            "know that this run was newer."
        )
        return
    if newest is None or newest <= ours or may_be_older or await _is_complete(session):
        return
    raise SnapshotOvertaken(phrase_overtaken(session.list_name, ours=ours, newest=newest))


async def find_overtaken(session: ExportSession) -> str:
    """Say why a run would be refused as the older one; nothing is noted."""
    ours = session.request.snapshot_date
    if ours is None or session.request.overwrite_newer:
        return ""
    newest = await read_newest(session.list_id)
    if newest is None or newest <= ours:
        return ""
    return phrase_overtaken(session.list_name, ours=ours, newest=newest)


async def read_newest(list_id: str) -> date | None:
    """Read the date of the newest snapshot that a list has got, if any was noted.

    Raises:
        ExportRefused: Prefect's API cannot tell.
    """
    try:
        return await _read(list_id)
    except _Unanswered as error:
        raise ExportRefused(
            f"Prefect's API cannot tell which snapshot the list has got last ({error}). Try again "
            "when it answers."
        ) from None


def phrase_overtaken(list_name: str, *, ours: date, newest: date) -> str:
    """Say that a list has got a newer snapshot, and how to overwrite it nonetheless."""
    return (
        f"List “{list_name}” has got the snapshot of {newest}, and this one of {ours} is older: it "
        "would overwrite newer contacts. If that is meant, run it with --overwrite-newer."
    )


def variable_name(list_id: str) -> str:
    """Name the Prefect variable of a list."""
    return f"segment-export-newest-{re.sub('[^a-z0-9-]', '-', list_id.lower())}"


async def _is_complete(session: ExportSession) -> bool:
    if session.request.again:
        return False
    return all(batch.already_accepted for batch in await plan_batches(session))


async def _read(list_id: str) -> date | None:
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S), get_client() as client:
            variable = await client.read_variable_by_name(variable_name(list_id))
    except Exception as error:
        raise _Unanswered(type(error).__name__) from error
    value = variable.value if variable else None
    with suppress(ValueError):  # somebody has changed it: the run that comes next writes it anew
        return date.fromisoformat(str(value.get("snapshot"))) if isinstance(value, dict) else None
    return None


async def _write(list_id: str, newest: date) -> None:
    value = {"snapshot": newest.isoformat(), "noted_at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"}
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await Variable.aset(variable_name(list_id), value, overwrite=True)
    except Exception as error:
        raise _Unanswered(type(error).__name__) from error
