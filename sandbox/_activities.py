"""Activities as the API tells them: the collection and one of them."""

from typing import Any

from sandbox._account import Account
from sandbox._errors import not_found
from sandbox._http import Answer, Call
from sandbox._query import read_query

PAGE_MOST = 500
COLLECTION = "/v3/activities"
FILTER_STATES = frozenset({"processing", "completed", "cancelled", "failed", "timed_out"})


def get_activities(account: Account, call: Call) -> Answer:
    """Return a page of the last ten days' activities, newest first (cases 69 to 73).

    The order is undocumented. `initialized` is no legal filter (case 71).
    """
    strict = account.settings.refuse_unknown_parameters
    query = read_query(call.query, {"limit", "state"}, is_strict=strict)
    limit = query.limit(PAGE_MOST)
    state = query.choice("state", FILTER_STATES)
    now_s = account.clock.utc_s()
    wanted = [
        activity
        for activity in account.activities.read_collection()
        if (state is None or activity.state_at(now_s) == state)
        and (query.position == 0 or activity.number <= query.position)
    ]
    content: dict[str, Any] = {"activities": [one.show(now_s) for one in wanted[:limit]]}
    if len(wanted) > limit:
        content["_links"] = query.next_links(COLLECTION, wanted[limit].number)
    return Answer(200, content)


def get_activity(account: Account, call: Call) -> Answer:
    """Return one activity; unknown and forgotten ones are 404 (cases 73 and 74)."""
    strict = account.settings.refuse_unknown_parameters
    read_query(call.query, (), is_strict=strict)
    activity = account.activities.find(call.path_values["activity_id"])
    if activity is None:
        raise not_found("The activity does not exist")
    return Answer(200, activity.show(account.clock.utc_s()))
