"""Query strings: parameters checked against the contract, and cursors to the next page."""

import base64
import binascii
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from sandbox._errors import invalid

DEFAULT_LIMIT = 50
TIME_ZONE_WITHOUT_COLON = re.compile(r"([+-]\d\d)(\d\d)$")
UUID_TEXT = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Query:
    """The parameters of a request, and where its page begins."""

    values: dict[str, str]
    position: int = 0

    def limit(self, most: int) -> int:
        """Return the page size, 1 to `most`, 50 unless asked (cases 70 and 96)."""
        text = self.values.get("limit", str(DEFAULT_LIMIT))
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
            raise invalid(f"limit does not have a valid value; it must be from 1 to {most}")
        return int(text)

    def flag(self, name: str) -> bool:
        """Return a parameter that is `true` or `false`, false unless given."""
        return self.choice(name, {"true", "false"}) == "true"

    def choice(self, name: str, allowed: Collection[str]) -> str | None:
        """Return a parameter that has one of some values (case 77)."""
        value = self.values.get(name)
        if value is not None and value not in allowed:
            raise invalid(f"{name} does not have a valid value")
        return value

    def choices(self, name: str, allowed: Collection[str]) -> frozenset[str]:
        """Return a comma-separated parameter whose items have some values each."""
        chosen = frozenset(self.items(name))
        if not chosen <= frozenset(allowed):
            raise invalid(f"{name} does not have a valid value")
        return chosen

    def items(self, name: str, most: int = 1_000) -> list[str]:
        """Return the items of a comma-separated parameter, at most so many (case 88)."""
        items = [item for item in self.values.get(name, "").split(",") if item]
        if len(items) > most:
            raise invalid(f"{name} has more than {most} values")
        return items

    def time_s(self, name: str) -> float | None:
        """Return an ISO 8601 moment in UTC seconds; without a zone it is UTC."""
        text = self.values.get(name)
        if text is None:
            return None
        try:
            moment = datetime.fromisoformat(TIME_ZONE_WITHOUT_COLON.sub(r"\1:\2", text))
        except ValueError:
            raise invalid(f"{name} is not an ISO-8601 date") from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

    def next_links(self, path: str, position: int) -> dict[str, Any]:
        """Return `_links` to the page that begins at a position (cases 69, 83 and 84)."""
        saved = json.dumps([self.values, position], separators=(",", ":")).encode()
        cursor = base64.urlsafe_b64encode(saved).decode().rstrip("=")
        return {"next": {"href": f"{path}?cursor={cursor}"}}


def read_query(text: str, allowed: Collection[str], *, is_strict: bool) -> Query:
    """Parse a query string, or what its cursor remembers of an earlier one.

    `allowed` are the parameters that the contract names; when strict, others are refused, and so
    is a cursor with company. A `+` is a blank, as everywhere in query strings (case 86).
    """
    pairs = parse_qsl(text, keep_blank_values=True)
    values = dict(pairs)
    if len(values) != len(pairs):
        raise invalid("A query parameter is repeated")
    cursor = values.pop("cursor", None)
    if is_strict:
        unknown = sorted(values.keys() - allowed)
        if unknown:
            raise invalid(f"{unknown[0]} is not a query parameter of this operation")
        if cursor is not None and values:
            raise invalid("cursor cannot be combined with other query parameters")
    if cursor is None:
        return Query(values)
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        saved, position = json.loads(base64.urlsafe_b64decode(padded))
        return Query(dict(saved), int(position))
    except (binascii.Error, ValueError, TypeError):
        raise invalid("cursor does not have a valid value") from None


def is_uuid(text: object) -> bool:
    """Say whether something is the text of a UUID."""
    return isinstance(text, str) and UUID_TEXT.fullmatch(text) is not None
