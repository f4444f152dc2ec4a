"""The contacts of an account: a million of them in moderate memory.

A contact keeps its properties as a tuple beside a tuple of their columns, which all contacts of an
import share; its lists as the bits of one number; and its id is made from its number when asked.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress

ID_PREFIX = "5c0e7a90-1f3b-11f1-8000-"
ID_LENGTH = 36
SHARED_VALUES_MOST = 50_000


@dataclass(slots=True, eq=False)
class Contact:
    """One contact; `email` is empty for an SMS-only one.

    `columns` and `values` hold the properties that were supplied, custom fields as `cf:name`;
    bit n of `list_bits` is membership of the account's n-th list. Times are UTC seconds.
    """

    number: int
    email: str
    columns: tuple[str, ...]
    values: tuple[str, ...]
    list_bits: int
    permission: str
    created_s: float
    updated_s: float
    opted_out_s: float | None = None
    deleted_s: float | None = None

    @property
    def contact_id(self) -> str:
        """The contact's UUID."""
        return f"{ID_PREFIX}{self.number:012x}"

    @property
    def is_active(self) -> bool:
        """Whether mail may go to this contact."""
        return self.deleted_s is None and self.permission in {"implicit", "explicit"}

    def properties(self) -> dict[str, str]:
        """Return the properties that were ever supplied, by column."""
        return dict(zip(self.columns, self.values, strict=True))


@dataclass(slots=True)
class ContactBook:
    """All contacts, deleted ones included, in the order in which they came."""

    contacts: list[Contact] = field(default_factory=list)
    _by_key: dict[str, Contact] = field(default_factory=dict)
    _columns: dict[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict)
    _bits: dict[int, int] = field(default_factory=dict)
    _values: dict[str, str] = field(default_factory=dict)

    def find(self, key: str) -> Contact | None:
        """Return the contact with a lower-case e-mail address (or `sms:` and a number)."""
        return self._by_key.get(key)

    def find_by_id(self, contact_id: str) -> Contact | None:
        """Return the contact with an id."""
        tail = contact_id[len(ID_PREFIX) :]
        if len(contact_id) != ID_LENGTH or not contact_id.startswith(ID_PREFIX):
            return None
        number = int(tail, 16)
        return self.contacts[number] if number < len(self.contacts) else None

    def add(
        self,
        key: str,
        columns: tuple[str, ...],
        values: tuple[str, ...],
        *,
        at_s: float,
        list_bits: int = 0,
        permission: str = "implicit",
    ) -> Contact:
        """Create a contact. `columns` should come from `share_columns`."""
        email = "" if key.startswith("sms:") else key
        number = len(self.contacts)
        shared = self._share_values(values)
        contact = Contact(number, email, columns, shared, list_bits, permission, at_s, at_s)
        self.contacts.append(contact)
        self._by_key[key] = contact
        return contact

    def update(
        self, contact: Contact, columns: tuple[str, ...], values: tuple[str, ...], *, at_s: float
    ) -> None:
        """Change the supplied properties of a contact and leave the others (case 36)."""
        if contact.columns is columns:
            contact.values = self._share_values(values)
        elif columns:
            merged = contact.properties()
            merged.update(zip(columns, values, strict=True))
            contact.columns = self.share_columns(merged)
            contact.values = self._share_values(tuple(merged.values()))
        contact.updated_s = at_s

    def share_columns(self, columns: Iterable[str]) -> tuple[str, ...]:
        """Return the one tuple that stands for these columns in this book."""
        wanted = tuple(columns)
        return self._columns.setdefault(wanted, wanted)

    def _share_values(self, values: tuple[str, ...]) -> tuple[str, ...]:
        """Return values of which the frequent ones, names above all, exist only once."""
        known = self._values
        if len(known) < SHARED_VALUES_MOST:
            return tuple(map(known.setdefault, values, values))
        return tuple([known.get(value, value) for value in values])

    def without_blanks(
        self, columns: tuple[str, ...], values: Sequence[str]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return columns and values without those whose value is empty."""
        return self.share_columns(compress(columns, values)), tuple(filter(None, values))

    def set_lists(self, contact: Contact, list_bits: int) -> None:
        """Replace a contact's memberships."""
        contact.list_bits = self._bits.setdefault(list_bits, list_bits)

    def unsubscribe(self, contact: Contact, *, at_s: float) -> None:
        """Opt a contact out of the whole account."""
        contact.permission = "unsubscribed"
        contact.opted_out_s = contact.updated_s = at_s
        contact.list_bits = 0

    def delete(self, contact: Contact, *, at_s: float) -> None:
        """Delete a contact: off all lists, its record and permission kept (case 102)."""
        contact.deleted_s = contact.updated_s = at_s
        contact.list_bits = 0

    def iter_members(self, list_bits: int) -> Iterator[Contact]:
        """Yield the contacts, not deleted ones, that are on any of some lists."""
        return (contact for contact in self.contacts if contact.list_bits & list_bits)
