"""The mark of which snapshot a list has got last of an export: a Prefect variable.

It is the list's and the export's: two exports into one list that send other people or other fields
do not overtake one another.
"""

import asyncio
import re
from contextlib import suppress
from datetime import UTC, date, datetime

from prefect.client.orchestration import get_client
from prefect.variables import Variable

from pipeline.delivery import delivery_key
from schemas.export import ExportRequest
from tasks.errors import ExportRefused, SnapshotOvertaken
from tasks.session import ExportSession
from tasks.stops import explain_stop

# A server on SQLite waits up to a minute for its file; who gives up before refuses a run for it.
ANSWER_TIMEOUT_S = 90.0
# Asked before each batch: where the API is silent, an upload is not held up for long.
RECHECK_TIMEOUT_S = 5.0

# What makes an export what it is, beside where its data come from.
_IDENTITY = {"segments", "email", "first_name", "last_name", "attributes", "customer_id"}


class MarkUnknownError(Exception):
    """Prefect's API cannot tell."""


def mark_name(list_id: str, request: ExportRequest) -> str:
    """Name the Prefect variable of an export into a list, which holds none of its settings."""
    identity = request.model_dump(mode="json", include=_IDENTITY)
    identity["segments"] = sorted(identity["segments"])
    identity["attributes"] = sorted([one.heading, one.column] for one in request.attributes)
    listed = re.sub("[^a-z0-9-]", "-", list_id.lower())
    return f"segment-export-newest-{listed}-{delivery_key(identity)}"


async def read_newest(list_id: str, request: ExportRequest) -> date | None:
    """Read the date of the newest snapshot that a list has got of an export, if any was noted.

    Raises:
        ExportRefused: Prefect's API cannot tell.
    """
    try:
        return await read_mark(mark_name(list_id, request))
    except MarkUnknownError as error:
        raise ExportRefused(
            f"Prefect's API cannot tell which snapshot the list has got last ({error}). Try again "
            "when it answers."
        ) from None


async def stop_if_overtaken(session: ExportSession) -> None:
    """Stop a run of a dated snapshot whose list is getting a newer one by now.

    Where the API is silent nothing new is known, and the run goes on.
    """
    ours = session.request.snapshot_date
    if ours is None or session.request.overwrite_newer or session.stop is not None:
        return
    mark = mark_name(session.list_id, session.request)
    with suppress(MarkUnknownError):
        newest = await read_mark(mark, timeout_s=RECHECK_TIMEOUT_S)
        if newest is not None and newest > ours and session.stop is None:
            said = phrase_overtaken(session.list_name, ours=ours, newest=newest)
            session.stop = explain_stop(SnapshotOvertaken(said))


def phrase_overtaken(list_name: str, *, ours: date, newest: date) -> str:
    """Say that a list has got a newer snapshot, and how to overwrite it nonetheless."""
    return (
        f"List “{list_name}” has got the contacts of {newest}, and this snapshot of {ours} is "
        "older: it would overwrite newer ones. A run without a snapshot date counts as of its day. "
        "If that is meant, run it with --overwrite-newer (in the form: Overwrite newer)."
    )


async def read_mark(mark: str, *, timeout_s: float = ANSWER_TIMEOUT_S) -> date | None:
    """Read a mark by its name.

    Raises:
        MarkUnknownError: Prefect's API cannot tell.
    """
    try:
        async with asyncio.timeout(timeout_s), get_client() as client:
            variable = await client.read_variable_by_name(mark)
    except Exception as error:
        raise MarkUnknownError(type(error).__name__) from error
    value = variable.value if variable else None
    with suppress(ValueError):  # somebody has changed it: the run that comes next writes it anew
        return date.fromisoformat(str(value.get("snapshot"))) if isinstance(value, dict) else None
    return None


async def write_mark(mark: str, newest: date) -> None:
    """Write a mark by its name.

    Raises:
        MarkUnknownError: Prefect's API does not take it.
    """
    value = {"snapshot": newest.isoformat(), "noted_at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"}
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await Variable.aset(mark, value, overwrite=True)
    except Exception as error:
        raise MarkUnknownError(type(error).__name__) from error
