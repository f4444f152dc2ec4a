"""The newest snapshot wins: an older one is refused, and the mark moves on before the first upload.

A run that dies while it uploads has changed the list all the same.
"""

from datetime import UTC

from tasks.budget import plan_batches
from tasks.errors import ExportRefused, SnapshotOvertaken
from tasks.locks import sole_lock
from tasks.newest_mark import (
    MarkUnknownError,
    mark_name,
    phrase_overtaken,
    read_mark,
    read_newest,
    write_mark,
)
from tasks.session import ExportSession


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
    mark = mark_name(session.list_id, session.request)
    try:
        async with sole_lock(mark, on_trouble=session.note):
            newest = await read_mark(mark)
            if newest is None or newest < ours:
                await write_mark(mark, ours)
    except MarkUnknownError as error:
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
    newest = await read_newest(session.list_id, session.request)
    if newest is None or newest <= ours:
        return ""
    return phrase_overtaken(session.list_name, ours=ours, newest=newest)


async def _is_complete(session: ExportSession) -> bool:
    if session.request.again:
        return False
    return all(batch.already_accepted for batch in await plan_batches(session))
