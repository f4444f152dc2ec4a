"""Custom fields: the collection, and making one."""

from typing import Any

from sandbox._account import Account, CustomField
from sandbox._bodies import read_json_object
from sandbox._clock import show_time
from sandbox._errors import conflict, invalid
from sandbox._http import Answer, Call
from sandbox._query import read_query

PAGE_MOST = 100
LABEL_LENGTH = 50
COLLECTION = "/v3/contact_custom_fields"
TYPES = frozenset(
    [
        "string",
        "date",
        "datetime",
        "single_select",
        "currency",
        "text_area",
        "multi_select",
        "number",
        "boolean",
    ]
)


def get_custom_fields(account: Account, call: Call) -> Answer:
    """Return a page of custom fields in the order in which they were made (case 96)."""
    strict = account.settings.refuse_unknown_parameters
    query = read_query(call.query, {"limit"}, is_strict=strict)
    end = query.position + query.limit(PAGE_MOST)
    fields = account.custom_fields
    content: dict[str, Any] = {
        "custom_fields": [_show(one) for one in fields[query.position : end]]
    }
    if end < len(fields):
        content["_links"] = query.next_links(COLLECTION, end)
    return Answer(200, content)


def create_custom_field(account: Account, call: Call) -> Answer:
    """Create a custom field (cases 94 and 95); beyond the limit is 400 (409 is as likely)."""
    content = read_json_object(call)
    label, kind = content.get("label"), content.get("type")
    if not isinstance(label, str) or not 1 <= len(label) <= LABEL_LENGTH:
        raise invalid(f"label does not have a valid value; 1 to {LABEL_LENGTH} characters")
    if kind not in TYPES:
        raise invalid("type does not have a valid value")
    if any(one.label == label for one in account.custom_fields):
        raise conflict("A custom field with this label already exists")
    if len(account.custom_fields) >= account.settings.custom_field_limit:
        raise invalid(f"More than {account.settings.custom_field_limit} custom fields")
    return Answer(201, _show(account.add_custom_field(label, kind)))


def _show(one: CustomField) -> dict[str, Any]:
    """Return a custom field as the API tells it."""
    return {
        "custom_field_id": one.custom_field_id,
        "label": one.label,
        "name": one.name,
        "type": one.kind,
        "created_at": show_time(one.created_s),
        "updated_at": show_time(one.created_s),
    }
