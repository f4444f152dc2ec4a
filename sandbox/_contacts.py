"""Contacts as the API tells them: the collection, and counts by consent."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from sandbox._account import Account
from sandbox._clock import show_date, show_time
from sandbox._contact_book import Contact
from sandbox._errors import invalid
from sandbox._http import Answer, Call
from sandbox._query import Query, is_uuid, read_query

PAGE_MOST = 500
LISTS_MOST = 25
COLLECTION = "/v3/contacts"
NEW_SUBSCRIBER_S = 30 * 86_400
STATUSES = frozenset(
    ["all", "active", "deleted", "not_set", "pending_confirmation", "temp_hold", "unsubscribed"]
)
SUBRESOURCES = frozenset(
    ["custom_fields", "list_memberships", "phone_numbers", "street_addresses", "taggings", "notes"]
)
TIME_FILTERS = ("updated_after", "updated_before", "created_after", "created_before")
OPTOUT_FILTERS = ("optout_after", "optout_before")
PARAMETERS = frozenset(
    {"status", "email", "lists", "include", "include_count", "limit", *TIME_FILTERS}
).union(OPTOUT_FILTERS)
PLAIN_COLUMNS = ("first_name", "last_name", "job_title", "company_name", "anniversary")
PHONE_KINDS = {
    "phone": "other",
    "home_phone": "home",
    "work_phone": "work",
    "mobile_phone": "mobile",
    "other_phone": "other",
}
ADDRESS_KINDS = {"": "other", "home_": "home", "work_": "work", "other_": "other"}
ADDRESS_COLUMNS = {
    "street": "street",
    "city": "city",
    "state": "state",
    "zip": "postal_code",
    "country": "country",
}

Test = Callable[[Contact], bool]


def get_contacts(account: Account, call: Call) -> Answer:
    """Return a page of contacts in the order in which they came (cases 83 to 90).

    Segments, tags and SMS states are not in the sandbox: their parameters are refused.
    """
    strict = account.settings.refuse_unknown_parameters
    query = read_query(call.query, PARAMETERS, is_strict=strict)
    limit = query.limit(PAGE_MOST)
    include = query.choices("include", SUBRESOURCES)
    tests = _tests(account, query)
    contacts = account.book.contacts
    if "email" in query.values:
        found = account.book.find(query.values["email"].lower())
        contacts = [found] if found else []
    page: list[Contact] = []
    content: dict[str, Any] = {"contacts": []}
    for position in range(query.position, len(contacts)):
        contact = contacts[position]
        if all(test(contact) for test in tests):
            if len(page) == limit:
                content["_links"] = query.next_links(COLLECTION, position)
                break
            page.append(contact)
    content["contacts"] = [_show(account, contact, include) for contact in page]
    if query.flag("include_count"):
        content["contacts_count"] = sum(
            all(test(contact) for test in tests) for contact in contacts
        )
    return Answer(200, content)


def get_counts(account: Account, call: Call) -> Answer:
    """Return the number of contacts, not deleted ones, by consent (case 91)."""
    strict = account.settings.refuse_unknown_parameters
    query = read_query(call.query, {"include"}, is_strict=strict)
    extras = query.choices("include", {"new_subscriber"})
    living = [one for one in account.book.contacts if one.deleted_s is None]
    by_permission = Counter(one.permission for one in living)
    content = {
        "total": len(living),
        "explicit": by_permission["explicit"],
        "implicit": by_permission["implicit"],
        "pending": by_permission["pending_confirmation"],
        "unsubscribed": by_permission["unsubscribed"],
    }
    if extras:
        since_s = account.clock.utc_s() - NEW_SUBSCRIBER_S
        content["new_subscriber"] = sum(one.created_s >= since_s for one in living)
    return Answer(200, content)


def _tests(account: Account, query: Query) -> list[Test]:
    """Return what a contact must pass to be in the answer."""
    tests: list[Test] = []
    statuses = query.choices("status", STATUSES)
    if not statuses:
        tests.append(lambda one: one.deleted_s is None)
    elif "all" not in statuses:
        tests.append(lambda one: _status(one) in statuses)
    list_ids = query.items("lists", LISTS_MOST)
    if not all(map(is_uuid, list_ids)):
        raise invalid("lists does not have a valid value")
    if list_ids:
        bits = sum(one.bit for one in account.lists if one.list_id in list_ids)
        tests.append(lambda one: one.list_bits & bits != 0)
    tests += _time_tests(query, "updated", lambda one: one.updated_s)
    tests += _time_tests(query, "created", lambda one: one.created_s)
    tests += _time_tests(query, "optout", lambda one: one.opted_out_s)
    return tests


def _time_tests(query: Query, name: str, read: Callable[[Contact], float | None]) -> list[Test]:
    tests: list[Test] = []
    after_s, before_s = query.time_s(f"{name}_after"), query.time_s(f"{name}_before")
    if after_s is not None:
        tests.append(lambda one: (read(one) or 0.0) > after_s)
    if before_s is not None:
        tests.append(lambda one: 0.0 < (read(one) or 0.0) < before_s)
    return tests


def _status(contact: Contact) -> str:
    """Return the word by which the collection's `status` finds a contact."""
    if contact.deleted_s is not None:
        return "deleted"
    return "active" if contact.is_active else contact.permission


def _show(account: Account, contact: Contact, include: frozenset[str]) -> dict[str, Any]:
    """Return a contact as the API tells it; sub-resources only when asked for (case 87)."""
    properties = contact.properties()
    shown: dict[str, Any] = {"contact_id": contact.contact_id}
    if contact.email:
        shown["email_address"] = _show_email(contact)
    shown |= {name: properties[name] for name in PLAIN_COLUMNS if name in properties}
    if "birthday_month" in properties:
        shown["birthday_month"] = int(properties["birthday_month"])
        shown["birthday_day"] = int(properties["birthday_day"])
    shown["update_source"] = shown["create_source"] = "Account"
    shown["created_at"] = show_time(contact.created_s)
    shown["updated_at"] = show_time(contact.updated_s)
    if contact.deleted_s is not None:
        shown["deleted_at"] = show_date(contact.deleted_s)
    if "sms_number" in properties:
        shown["sms_channel"] = {"sms_address": properties["sms_number"], "dial_code": "1"}
    subresources: dict[str, Callable[[], list[Any]]] = {
        "custom_fields": lambda: _show_custom_fields(account, properties),
        "list_memberships": lambda: account.list_ids_of(contact),
        "phone_numbers": lambda: _show_phones(properties),
        "street_addresses": lambda: _show_addresses(properties),
        "taggings": list,
        "notes": list,
    }
    for name, show in subresources.items():
        if name in include:
            shown[name] = show()
    return shown


def _show_email(contact: Contact) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "address": contact.email,
        "permission_to_send": contact.permission,
        "created_at": show_time(contact.created_s),
        "updated_at": show_time(contact.updated_s),
        "opt_in_source": "Account",
        "opt_in_date": show_time(contact.created_s),
    }
    if contact.opted_out_s is not None:
        shown["opt_out_source"] = "Contact"
        shown["opt_out_date"] = show_time(contact.opted_out_s)
    shown["confirm_status"] = "off"
    return shown


def _show_custom_fields(account: Account, properties: dict[str, str]) -> list[dict[str, str]]:
    return [
        {"custom_field_id": field.custom_field_id, "value": properties[f"cf:{field.name}"]}
        for field in account.custom_fields
        if f"cf:{field.name}" in properties
    ]


def _show_phones(properties: dict[str, str]) -> list[dict[str, str]]:
    return [
        {"phone_number": properties[column], "kind": kind}
        for column, kind in PHONE_KINDS.items()
        if column in properties
    ]


def _show_addresses(properties: dict[str, str]) -> list[dict[str, str]]:
    """Return up to four addresses; the second line of a street is appended to the first."""
    shown = []
    for prefix, kind in ADDRESS_KINDS.items():
        address = {
            name: properties[prefix + column]
            for column, name in ADDRESS_COLUMNS.items()
            if prefix + column in properties
        }
        if f"{prefix}street2" in properties:
            second = properties[f"{prefix}street2"]
            address["street"] = f"{address.get('street', '')} {second}".strip()
        if address:
            shown.append({"kind": kind, **address})
    return shown
