"""Read the account's activities: the journal of everything that was delivered."""

from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from constant_contact._addresses import encode_segment
from constant_contact._errors import MalformedAnswer
from constant_contact._models import Activity, ActivityState
from constant_contact._session import Session

_PATH = "/activities"
_PAGE_ENTRIES = 500  # the most that the service gives

# The service takes these as a filter, and refuses `initialized`.
_FILTERS = frozenset(ActivityState) - {ActivityState.INITIALIZED, ActivityState.UNKNOWN}


async def iter_activities(
    session: Session, state: ActivityState | None = None, *, attempts: int | None = None
) -> AsyncGenerator[Activity, None]:
    """Yield the activities of the last ten days, in the service's order.

    A state that the service cannot filter by is filtered here.
    """
    params = {"limit": str(_PAGE_ENTRIES)}
    if state in _FILTERS:
        params["state"] = str(state)
    pages = session.iter_items(
        _PATH, "activities", params, identity="activity_id", tally="polls", attempts=attempts
    )
    async with aclosing(pages) as entries:
        async for entry in entries:
            activity = Activity.from_json(entry)
            if activity and (state is None or activity.state is state):
                yield activity


async def get_activity(session: Session, activity_id: str) -> Activity:
    """Return one activity; raises NotFound for one that is unknown or older than ten days."""

    def read(answer: Any) -> Activity:
        activity = Activity.from_json(answer)
        if activity is None:
            raise MalformedAnswer(
                f"Constant Contact's answer about activity {activity_id} holds no id; run again."
            )
        if activity.activity_id.casefold() != activity_id.casefold():
            raise MalformedAnswer(
                f"Constant Contact's answer about activity {activity_id} is about another one; "
                "check the API address, then run again."
            )
        return replace(activity, activity_id=activity_id)  # the letters that its asker knows it by

    path = f"{_PATH}/{encode_segment(activity_id)}"
    return read(await session.get(path, check=read, tally="polls"))


async def find_import(
    session: Session, file_name: str, *, ignored_ids: Collection[str] = ()
) -> Activity | None:
    """Return the activity that imports, or has imported, a file of this name; None without one.

    Failed, cancelled and timed-out activities do not count. A completed one goes first.
    """
    unfinished: Activity | None = None
    async with aclosing(iter_activities(session)) as activities:
        async for activity in activities:
            if not is_import_of(activity, file_name, ignored_ids):
                continue
            if activity.state is ActivityState.COMPLETED:
                return activity
            unfinished = unfinished or activity
    return unfinished


def is_import_of(activity: Activity, file_name: str, ignored_ids: Collection[str]) -> bool:
    """Tell whether an activity imports, or has imported, a file of this name."""
    return (
        activity.source_file_name == file_name
        and activity.activity_id not in ignored_ids
        and not activity.state.is_failed
    )
