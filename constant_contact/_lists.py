"""Find the contact list that a person means."""

import difflib
import re
from urllib.parse import unquote, urlsplit

from constant_contact._addresses import encode_segment
from constant_contact._errors import ListNotFound, MalformedAnswer, RequestRefused
from constant_contact._models import ContactList, as_mapping, as_sequence, read_text
from constant_contact._session import Session

_PATH = "/contact_lists"

# The contract's text allows 500 entries a page and its schema 1,000: the smaller is safe.
_PAGE_ENTRIES = 500
_MOST_SUGGESTIONS = 5

_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
# In an address the number follows a word; others count pages and the like.
_NUMBERS_BY_WORD = (
    re.compile(r"list\w*[=/](\d{1,19})\b", re.ASCII | re.IGNORECASE),
    re.compile(r"contacts[=/](\d{1,19})\b", re.ASCII | re.IGNORECASE),
)
_NUMBER = re.compile(r"(?<![\w-])\d{1,19}(?![\w-])", re.ASCII)


async def get_lists(session: Session) -> list[ContactList]:
    """Return all contact lists of the account with their numbers of active members."""
    params = {"limit": str(_PAGE_ENTRIES), "include_membership_count": "active"}
    pages = session.iter_items(_PATH, "lists", params, identity="list_id")
    entries = [entry async for entry in pages]
    return [found for entry in entries if (found := ContactList.from_json(entry))]


async def resolve_list(session: Session, text: str) -> ContactList:
    """Return the list meant by a UUID, a number, or an address that holds either.

    Any other word is tried as the id of an account whose ids are no UUIDs.

    Raises:
        ListNotFound: there is none, and it names up to five that come near; or the text is an
            address that cannot be read, and nothing is asked.
    """
    list_id, number = read_list_reference(text)
    if number:
        list_id = await _find_by_number(session, number)
    elif not list_id and _may_be_id(text.strip()):
        list_id = text.strip()
    found = await _find_by_id(session, list_id) if list_id else None
    if found is None:
        lists = await get_lists(session)
        # The refusal of a moment is no proof that a list is not there.
        found = next((one for one in lists if list_id and one.list_id.lower() == list_id), None)
        if found is None:
            raise _not_found(text, lists)
    return found


def read_list_reference(text: str) -> tuple[str | None, str | None]:
    """Take a list's UUID, or else its number, out of what a person copied; None without.

    Of several numbers in an address it is the one after a word like `list`, else the last.

    Raises:
        ListNotFound: it is an address that cannot be read.
    """
    text = text.strip()
    if "://" in text:
        try:
            parts = urlsplit(text)
        except ValueError:
            raise ListNotFound(
                f'The contact list "{text}" is an address that cannot be read; give the id of the '
                "list, its number, or its address as the browser shows it."
            ) from None
        text = unquote(f"{parts.path} {parts.query} {parts.fragment}")
        uuids = _UUID.findall(text)
        return (uuids[-1].lower(), None) if uuids else (None, _find_number(text))
    uuid = text.lower() if _UUID.fullmatch(text) else None
    return uuid, (text if _NUMBER.fullmatch(text) else None)


def _find_number(text: str) -> str | None:
    for pattern in (*_NUMBERS_BY_WORD, _NUMBER):
        numbers: list[str] = pattern.findall(text)
        if numbers:
            return numbers[-1]
    return None


def _may_be_id(text: str) -> bool:
    return bool(text.strip(".")) and not re.search(r"[\s/]", text)


async def _find_by_id(session: Session, list_id: str) -> ContactList | None:
    path = f"{_PATH}/{encode_segment(list_id)}"
    try:
        answer = await session.get(
            path,
            {"include_membership_count": "active"},
            check=lambda answer: _require_list(answer, list_id),
        )
    except RequestRefused as error:
        # Unknown ids are 404 by the contract; an id of the wrong form may be 400.
        if error.status in {400, 404}:
            return None
        raise
    # Without an id it can only be the list that was asked for.
    return ContactList.from_json({**answer, "list_id": read_text(answer.get("list_id")) or list_id})


def _require_list(answer: object, list_id: str) -> None:
    """Take an answer for the list's only where it says so, by its id or, without one, its name."""
    found = as_mapping(answer)
    said = read_text(found.get("list_id"))
    is_it = said.casefold() == list_id.casefold() if said else read_text(found.get("name"))
    if not is_it:
        raise MalformedAnswer(
            "Constant Contact's answer about a contact list is not of the list that was "
            "asked for; check the API address, then run again."
        )


async def _find_by_number(session: Session, number: str) -> str | None:
    """Return the id of the list that older versions of the API know by this number."""
    try:
        answer = await session.get(
            f"{_PATH}/list_id_xrefs",
            {"sequence_ids": number},
            check=lambda answer: _read_xref(answer, number),
        )
    except RequestRefused as error:
        if error.status in {400, 404}:
            return None
        raise
    return _read_xref(answer, number)


def _read_xref(answer: object, number: str) -> str | None:
    """Take the list's id out of an answer about one number; None where it says there is none.

    Raises:
        MalformedAnswer: it is about something else, or names no id.
    """
    found = as_mapping(answer)
    if "xrefs" in found and found["xrefs"] in (None, []):
        return None
    for entry in map(as_mapping, as_sequence(found.get("xrefs"))):
        list_id = read_text(entry.get("list_id"))
        # Shown with leading zeros in one place and without in another.
        if list_id and str(entry.get("sequence_id")).lstrip("0") == number.lstrip("0"):
            return list_id
    raise MalformedAnswer(
        "Constant Contact's answer about the number of a contact list does not say which list it "
        "is; check the API address, then run again."
    )


def _not_found(text: str, lists: list[ContactList]) -> ListNotFound:
    wanted = text.strip().casefold()
    by_key = {entry.name.casefold(): entry for entry in lists}
    by_key |= {entry.list_id.casefold(): entry for entry in lists}
    near = difflib.get_close_matches(wanted, by_key, n=_MOST_SUGGESTIONS, cutoff=0.5)
    chosen = [by_key[key] for key in near] or sorted(lists, key=lambda entry: entry.name)
    suggestions = tuple((e.list_id, e.name) for e in chosen[:_MOST_SUGGESTIONS])
    shown = "; ".join(f"{name} ({list_id})" for list_id, name in suggestions)
    return ListNotFound(
        f'The account has no contact list "{text.strip()}"; '
        + (f"its lists include: {shown}." if shown else "create one in Constant Contact first."),
        suggestions=suggestions,
    )
