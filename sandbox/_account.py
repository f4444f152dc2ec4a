"""The one account behind the sandbox: its lists, custom fields, contacts and activities."""

import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from sandbox._clock import Clock
from sandbox._contact_book import Contact, ContactBook
from sandbox._jobs import ActivityLog
from sandbox._settings import SandboxSettings

FIRST_SEQUENCE_ID = 1_204_560_001


@dataclass(slots=True)
class ContactList:
    """A contact list. `bit` marks its members; `sequence_id` is the number in its web address."""

    list_id: str
    name: str
    bit: int
    sequence_id: int
    created_s: float
    updated_s: float
    description: str = ""
    is_favorite: bool = False
    deleted_s: float | None = None


@dataclass(frozen=True, slots=True)
class CustomField:
    """A custom field. `name` is what an import column calls it, after `cf:`."""

    custom_field_id: str
    label: str
    name: str
    kind: str
    created_s: float


class Account:
    """What one account holds. All of it is read and changed on the event loop only."""

    def __init__(self, settings: SandboxSettings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.book = ContactBook()
        self.lists: list[ContactList] = []
        self.custom_fields: list[CustomField] = []
        self.activities = ActivityLog(settings, clock)

    def add_list(
        self, name: str, *, description: str = "", is_favorite: bool = False, list_id: str = ""
    ) -> ContactList:
        """Create a contact list."""
        now_s = self.clock.utc_s()
        number = len(self.lists)
        created = ContactList(
            list_id=list_id or str(uuid.uuid5(uuid.NAMESPACE_OID, f"list {number} {name}")),
            name=name,
            bit=1 << number,
            sequence_id=FIRST_SEQUENCE_ID + number,
            created_s=now_s,
            updated_s=now_s,
            description=description,
            is_favorite=is_favorite,
        )
        self.lists.append(created)
        return created

    def find_list(self, list_id: str) -> ContactList | None:
        """Return the list with an id, deleted or not."""
        return next((one for one in self.lists if one.list_id == list_id), None)

    def find_live_lists(self, list_ids: Iterable[str]) -> list[ContactList] | None:
        """Return the lists with these ids, or None when one is unknown or deleted."""
        found = []
        for list_id in list_ids:
            one = self.find_list(list_id)
            if one is None or one.deleted_s is not None:
                return None
            found.append(one)
        return found

    def list_ids_of(self, contact: Contact) -> list[str]:
        """Return the ids of the lists that a contact is on."""
        return [one.list_id for one in self.lists if one.bit & contact.list_bits]

    def count_members(self, *, active_only: bool) -> Counter[int]:
        """Return the number of members by list bit."""
        by_bits = Counter(
            contact.list_bits
            for contact in self.book.contacts
            if contact.list_bits and (contact.is_active or not active_only)
        )
        members = Counter[int]()
        for one in self.lists:
            members[one.bit] = sum(n for bits, n in by_bits.items() if bits & one.bit)
        return members

    def add_custom_field(self, label: str, kind: str = "string") -> CustomField:
        """Create a custom field; its name is the label with blanks as underscores (case 94)."""
        name = label.replace(" ", "_")
        if self.settings.lower_case_custom_field_names:
            name = name.lower()
        created = CustomField(str(uuid.uuid4()), label, name, kind, self.clock.utc_s())
        self.custom_fields.append(created)
        return created


def bits_of(lists: Iterable[ContactList]) -> int:
    """Return the membership bits of some lists, leaving out those deleted meanwhile."""
    bits = 0
    for one in lists:
        if one.deleted_s is None:
            bits |= one.bit
    return bits
