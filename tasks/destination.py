"""Check that the export can arrive, before anything is sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from constant_contact import ConstantContact
from pipeline import ContactMapping
from tasks.errors import UnknownCustomField
from tasks.session import ExportSession, current_session
from tasks.step import step

NAMES_SHOWN = 25


@dataclass(frozen=True, slots=True)
class Destination:
    """The contact list that an export goes to."""

    list_id: str
    list_name: str


@step("check-destination", run_name="Check list and custom fields")
async def check_destination() -> Destination:
    """Find the contact list, and the custom fields that attributes go to, in the account."""
    return await find_destination(current_session())


async def find_destination(session: ExportSession) -> Destination:
    """Find where an export goes to, and remember it.

    Raises:
        ListNotFound: there is no such list; it names some that come near.
        UnknownCustomField: the account has no such custom field.
    """
    client = session.require_client()
    wanted = ContactMapping.from_request(session.request).custom_fields
    contact_list = await client.resolve_list(session.request.list_id)
    await _check_custom_fields(client, wanted)
    session.list_id, session.list_name = contact_list.list_id, contact_list.name
    return Destination(list_id=contact_list.list_id, list_name=contact_list.name)


async def _check_custom_fields(client: ConstantContact, wanted: Sequence[str]) -> None:
    if not wanted:
        return
    names = sorted(custom_field.name for custom_field in await client.get_custom_fields())
    for name in wanted:
        if name not in names:
            raise UnknownCustomField(phrase_unknown_field(name, names))


def phrase_unknown_field(name: str, names: list[str]) -> str:
    """Say that the account has no such custom field, and which it has."""
    by_lower_case = {existing.lower(): existing for existing in names}
    near = [by_lower_case[key] for key in get_close_matches(name.lower(), by_lower_case, n=3)]
    if near:
        hint = "Did you mean " + " or ".join(f"cf:{found}" for found in near) + "?"
    elif names:
        more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
        hint = f"It has: {', '.join(names[:NAMES_SHOWN])}{more}."
    else:
        hint = "It has none; create the field in Constant Contact first."
    return f"The account has no custom field “{name}”. {hint}"
