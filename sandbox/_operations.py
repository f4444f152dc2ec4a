"""The operations that the sandbox answers: where, for whom, and by which function."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from sandbox import (
    _account_details,
    _activities,
    _contacts,
    _custom_fields,
    _imports,
    _lists,
    _memberships,
)
from sandbox._account import Account
from sandbox._http import Answer, Call


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; `scope` and `privilege` are empty where none is needed.

    `path` may hold `{names}` of variable parts.
    """

    name: str
    method: str
    path: str
    scope: str
    privilege: str
    carry_out: Callable[[Account, Call], Answer]

    def match(self, path: str) -> dict[str, str] | None:
        """Return the variable parts of a path that is this operation's."""
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path)
        found = re.fullmatch(pattern, path)
        return found.groupdict() if found else None


def list_operations() -> tuple[Operation, ...]:
    """Return all operations, those with fixed paths before those with variable ones.

    Scopes and privileges are the contract's; all activities need contacts:write, reading too.
    """
    data, read, write = "contact_data", "contacts:read", "contacts:write"
    lists, one_list = "/v3/contact_lists", "/v3/contact_lists/{list_id}"
    see_lists, change_lists = "contacts:lists:read", "contacts:lists:write"
    details, members, acts = _account_details, _memberships, "/v3/activities"
    fields, people = "/v3/contact_custom_fields", "/v3/contacts"
    rows = (
        (
            "account",
            "GET",
            "/v3/account/summary",
            "account_read",
            "account:read",
            details.get_summary,
        ),
        ("privileges", "GET", "/v3/account/user/privileges", "", "", details.get_privileges),
        ("xrefs", "GET", f"{lists}/list_id_xrefs", data, see_lists, _lists.get_xrefs),
        ("lists", "GET", lists, data, see_lists, _lists.get_lists),
        ("list_create", "POST", lists, data, change_lists, _lists.create_list),
        ("list", "GET", one_list, data, see_lists, _lists.get_list),
        ("list_delete", "DELETE", one_list, data, change_lists, _lists.delete_list),
        ("custom_fields", "GET", fields, data, read, _custom_fields.get_custom_fields),
        ("custom_field_create", "POST", fields, data, write, _custom_fields.create_custom_field),
        ("file_import", "POST", f"{acts}/contacts_file_import", data, write, _imports.file_import),
        ("json_import", "POST", f"{acts}/contacts_json_import", data, write, _imports.json_import),
        (
            "add_list_memberships",
            "POST",
            f"{acts}/add_list_memberships",
            data,
            write,
            members.add_memberships,
        ),
        (
            "remove_list_memberships",
            "POST",
            f"{acts}/remove_list_memberships",
            data,
            write,
            members.remove_memberships,
        ),
        ("contact_delete", "POST", f"{acts}/contact_delete", data, write, members.delete_contacts),
        ("activities", "GET", acts, data, write, _activities.get_activities),
        ("activity", "GET", f"{acts}/{{activity_id}}", data, write, _activities.get_activity),
        ("contact_counts", "GET", f"{people}/counts", data, read, _contacts.get_counts),
        ("contacts", "GET", people, data, read, _contacts.get_contacts),
    )
    return tuple(Operation(*row) for row in rows)
