"""Contact lists: the collection, one of them, making, deleting, and V2 ids."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from sandbox._account import Account, ContactList
from sandbox._bodies import read_json_object
from sandbox._clock import show_time
from sandbox._errors import conflict, invalid, not_found
from sandbox._http import Answer, Call
from sandbox._query import read_query

PAGE_MOST = 1_000
NAME_LENGTH = 255
XREFS_MOST = 500
CONTACTS_PER_TURN = 5_000
COLLECTION = "/v3/contact_lists"
COLLECTION_PARAMETERS = frozenset(
    [
        "limit",
        "include_count",
        "include_membership_count",
        "name",
        "status",
        "channel_type",
        "include_sms_membership_count",
    ]
)


def get_lists(account: Account, call: Call) -> Answer:
    """Return a page of lists in the order in which they were made (cases 76 and 77).

    Without `status`, those not deleted (undocumented). There are no SMS lists here.
    """
    strict = account.settings.refuse_unknown_parameters
    query = read_query(call.query, COLLECTION_PARAMETERS, is_strict=strict)
    limit = query.limit(PAGE_MOST)
    counting = query.choice("include_membership_count", {"all", "active"})
    states = query.choices("status", {"all", "active", "deleted"}) or {"active"}
    channel = query.choice("channel_type", {"email", "sms"})
    name = query.values.get("name")
    query.flag("include_sms_membership_count")
    wanted = [
        one
        for one in account.lists
        if channel != "sms"
        and name in {None, one.name}
        and ("all" in states or ("deleted" if one.deleted_s else "active") in states)
    ]
    members = account.count_members(active_only=counting == "active") if counting else None
    end = query.position + limit
    content: dict[str, Any] = {
        "lists": [_show(one, members) for one in wanted[query.position : end]]
    }
    if query.flag("include_count"):
        content["lists_count"] = len(wanted)
    if end < len(wanted):
        content["_links"] = query.next_links(COLLECTION, end)
    return Answer(200, content)


def get_list(account: Account, call: Call) -> Answer:
    """Return one list, deleted or not (case 78)."""
    strict = account.settings.refuse_unknown_parameters
    query = read_query(call.query, {"include_membership_count"}, is_strict=strict)
    counting = query.choice("include_membership_count", {"all", "active"})
    one = _find(account, call)
    members = account.count_members(active_only=counting == "active") if counting else None
    return Answer(200, _show(one, members))


def create_list(account: Account, call: Call) -> Answer:
    """Create a list (cases 79 to 81); a name in use is a conflict."""
    content = read_json_object(call)
    name = content.get("name")
    if not isinstance(name, str) or not 1 <= len(name) <= NAME_LENGTH:
        raise invalid(f"name does not have a valid value; 1 to {NAME_LENGTH} characters")
    if any(one.name == name and one.deleted_s is None for one in account.lists):
        raise conflict("A list with this name already exists")
    description, favorite = content.get("description", ""), content.get("favorite", False)
    if not isinstance(description, str) or not isinstance(favorite, bool):
        raise invalid("description or favorite does not have a valid value")
    created = account.add_list(name, description=description, is_favorite=favorite)
    return Answer(201, _show(created, None))


def delete_list(account: Account, call: Call) -> Answer:
    """Delete a list and its memberships, not its contacts (case 82)."""
    one = _find(account, call)
    if one.deleted_s is not None:
        raise not_found("The list was deleted")
    account.activities.check_queue()
    activity = account.activities.open(_delete(account, one), {}, [], twists=call.twists)
    content = activity.show_accepted()
    return Answer(202, content, headers={"Location": activity.href})


def get_xrefs(account: Account, call: Call) -> Answer:
    """Return the ids of lists by their V2 ids, the numbers in their web addresses.

    Unknown numbers are left out (undocumented).
    """
    strict = account.settings.refuse_unknown_parameters
    query = read_query(call.query, {"sequence_ids"}, is_strict=strict)
    numbers = query.items("sequence_ids", XREFS_MOST)
    if not numbers or not all(number.isascii() and number.isdigit() for number in numbers):
        raise invalid("sequence_ids does not have a valid value")
    wanted = set(map(int, numbers))
    found = [one for one in account.lists if one.sequence_id in wanted]
    xrefs = [{"sequence_id": str(one.sequence_id), "list_id": one.list_id} for one in found]
    return Answer(200, {"xrefs": xrefs})


def _find(account: Account, call: Call) -> ContactList:
    one = account.find_list(call.path_values["list_id"])
    if one is None:
        raise not_found("The list does not exist")
    return one


def _delete(account: Account, one: ContactList) -> Iterator[None]:
    one.deleted_s = one.updated_s = account.clock.utc_s()
    for number, contact in enumerate(account.book.contacts):
        if number % CONTACTS_PER_TURN == 0:
            yield
        if contact.list_bits & one.bit:
            account.book.set_lists(contact, contact.list_bits & ~one.bit)


def _show(one: ContactList, members: Counter[int] | None) -> dict[str, Any]:
    """Return a list as the API tells it."""
    shown: dict[str, Any] = {
        "list_id": one.list_id,
        "name": one.name,
        "description": one.description,
        "favorite": one.is_favorite,
        "created_at": show_time(one.created_s),
        "updated_at": show_time(one.updated_s),
    }
    if one.deleted_s is not None:
        shown["deleted_at"] = show_time(one.deleted_s)
    if members is not None:
        shown["membership_count"] = members[one.bit]
    return shown
