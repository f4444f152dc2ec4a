"""Activities over known contacts: add to lists, remove from lists, delete."""

from collections.abc import Callable, Iterator
from typing import Any

from sandbox._account import Account, bits_of
from sandbox._bodies import read_json_object
from sandbox._contact_book import Contact
from sandbox._errors import invalid, not_found
from sandbox._http import Answer, Call
from sandbox._query import is_uuid

CONTACTS_MOST = 500
LISTS_MOST = 50
CONTACTS_PER_TURN = 1_000
SOURCES = frozenset({"contact_ids", "list_ids", "all_active_contacts"})


def add_memberships(account: Account, call: Call) -> Answer:
    """Add contacts to lists (case 100: unsubscribed ones are not added)."""
    bits, contacts, lists = _read_membership_body(account, call)

    def add(contact: Contact) -> None:
        if contact.permission != "unsubscribed" or account.settings.unsubscribed_can_be_added:
            contact.deleted_s = None
            account.book.set_lists(contact, contact.list_bits | bits)

    return _accept(account, call, contacts, add, lists)


def remove_memberships(account: Account, call: Call) -> Answer:
    """Remove contacts from lists; the contacts stay (cases 97 to 99)."""
    bits, contacts, lists = _read_membership_body(account, call)

    def remove(contact: Contact) -> None:
        account.book.set_lists(contact, contact.list_bits & ~bits)

    return _accept(account, call, contacts, remove, lists)


def delete_contacts(account: Account, call: Call) -> Answer:
    """Delete contacts by id or by list (cases 101 and 102)."""
    content = read_json_object(call)
    kinds = content.keys() & {"contact_ids", "list_ids"}
    if len(kinds) != 1 or content.keys() - kinds:
        raise invalid("Either contact_ids or list_ids must be given")
    contacts = _find_source(account, content)
    at_s = account.clock.utc_s()

    def delete(contact: Contact) -> None:
        account.book.delete(contact, at_s=at_s)

    return _accept(account, call, contacts, delete, len(content.get("list_ids", [])))


def _read_membership_body(account: Account, call: Call) -> tuple[int, list[Contact], int]:
    """Return target lists as bits, the contacts meant, and how many lists were named.

    Segments, tags and engagement levels are not in the sandbox and are refused as sources.
    """
    content = read_json_object(call)
    source, exclude = content.get("source"), content.get("exclude", {})
    if content.keys() - {"source", "exclude", "list_ids"} or not isinstance(exclude, dict):
        raise invalid("The request has a property that does not have a valid value")
    if not isinstance(source, dict) or len(source) != 1 or not source.keys() <= SOURCES:
        raise invalid("source does not have a valid value; exactly one kind must be given")
    excluded = set(_ids(exclude, "contact_ids", CONTACTS_MOST) if exclude else ())
    if excluded and "contact_ids" in source:
        raise invalid("exclude cannot be combined with contact_ids")
    list_ids = _ids(content, "list_ids", LISTS_MOST)
    lists = account.find_live_lists(list_ids)
    if lists is None:
        raise not_found("A list does not exist")
    found = _find_source(account, source)
    contacts = [one for one in found if one.contact_id not in excluded] if excluded else found
    return bits_of(lists), contacts, len(lists)


def _find_source(account: Account, source: dict[str, Any]) -> list[Contact]:
    """Return the contacts that a source means; ids of nobody are passed over."""
    if "contact_ids" in source:
        ids = _ids(source, "contact_ids", CONTACTS_MOST)
        return [one for one in map(account.book.find_by_id, ids) if one is not None]
    if "list_ids" in source:
        lists = account.find_live_lists(_ids(source, "list_ids", LISTS_MOST))
        if lists is None:
            raise not_found("A list does not exist")
        return list(account.book.iter_members(bits_of(lists)))
    if source["all_active_contacts"] is not True:
        raise invalid("all_active_contacts does not have a valid value")
    return [one for one in account.book.contacts if one.is_active]


def _ids(content: dict[str, Any], name: str, most: int) -> list[str]:
    ids = content.get(name)
    if not isinstance(ids, list) or not 1 <= len(ids) <= most or not all(map(is_uuid, ids)):
        raise invalid(f"{name} does not have a valid value; 1 to {most} ids are allowed")
    return ids


def _accept(
    account: Account,
    call: Call,
    contacts: list[Contact],
    change: Callable[[Contact], None],
    list_count: int,
) -> Answer:
    """Queue a change of some contacts and answer 201 with its activity."""
    account.activities.check_queue()
    counters = {
        "items_total_count": len(contacts),
        "items_completed_count": 0,
        "list_count": list_count,
    }

    def work() -> Iterator[None]:
        for done, contact in enumerate(contacts, start=1):
            change(contact)
            counters["items_completed_count"] = done
            if done % CONTACTS_PER_TURN == 0:
                yield

    activity = account.activities.open(work(), counters, [], twists=call.twists)
    return Answer(201, activity.show_accepted())
