"""Everything behind one sandbox, and what a person may do to it from behind the counter."""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sandbox._account import Account
from sandbox._clock import Clock
from sandbox._contact_book import Contact
from sandbox._faults import FaultScript
from sandbox._grants import GrantBook
from sandbox._limits import Limits
from sandbox._request_log import RequestLog
from sandbox._settings import SandboxSettings
from sandbox._tokens import ACCOUNT_OWNER, ALL_SCOPES, Consent, TokenDesk


@dataclass(frozen=True, slots=True)
class ContactView:
    """A contact as the account has it; `properties` by import column, custom fields as `cf:…`."""

    contact_id: str
    email: str
    permission_to_send: str
    list_ids: frozenset[str]
    properties: Mapping[str, str]
    is_deleted: bool


@dataclass(frozen=True, slots=True)
class AppCredentials:
    """What an application needs to reach the sandbox; `refresh_token` may be empty (case 6)."""

    client_id: str
    client_secret: str
    refresh_token: str


class World:
    """The account, the token desk, the limits, the script of faults and the log of requests."""

    def __init__(self, settings: SandboxSettings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.account = Account(settings, clock)
        self.desk = TokenDesk(settings, clock)
        self.grants = GrantBook(self.desk)
        self.limits = Limits(
            per_second=settings.requests_per_second,
            per_day=settings.requests_per_day,
            tokens_per_second=settings.token_requests_per_second,
        )
        self.script = FaultScript()
        self.requests = RequestLog()
        client = self.desk.add_client(
            settings.client_id,
            settings.client_secret,
            is_rotating=settings.rotating_refresh_tokens,
            redirect_uris=settings.redirect_uris,
        )
        self.first_consent = self.desk.add_consent(client)

    def consent(
        self,
        *,
        client_id: str = "",
        is_rotating: bool = True,
        is_public: bool = False,
        redirect_uris: Collection[str] = (),
        scopes: Collection[str] = ALL_SCOPES,
        privileges: Collection[str] = ACCOUNT_OWNER,
    ) -> Consent:
        """Let a user allow an application access; without a known `client_id` it is a new one."""
        client = self.desk.clients.get(client_id)
        if client is None:
            client = self.desk.add_client(
                client_id or str(uuid.uuid4()),
                "" if is_public else f"secret-{uuid.uuid4()}",
                is_rotating=is_rotating,
                redirect_uris=redirect_uris or self.settings.redirect_uris,
                scopes=scopes,
            )
        return self.desk.add_consent(client, scopes, privileges)

    def put_contact(
        self,
        email: str,
        *,
        list_ids: Collection[str] = (),
        permission_to_send: str = "implicit",
        properties: Mapping[str, str] | None = None,
        is_deleted: bool = False,
    ) -> Contact:
        """Put a contact into the account without a request, replacing what it said before."""
        supplied = dict(properties or {})
        book, now_s = self.account.book, self.clock.utc_s()
        lists = self.account.find_live_lists(list_ids)
        if lists is None:
            raise ValueError("One of the lists does not exist")
        columns = book.share_columns(supplied)
        key = email.lower()
        contact = book.find(key) or book.add(key, columns, (), at_s=now_s)
        contact.columns, contact.values = columns, tuple(supplied.values())
        contact.permission = permission_to_send
        book.set_lists(contact, sum({one.bit for one in lists}))
        if permission_to_send == "unsubscribed":
            book.unsubscribe(contact, at_s=now_s)
        if is_deleted:
            book.delete(contact, at_s=now_s)
        return contact

    def find_contact(self, email: str) -> Contact:
        """Return the contact with an e-mail address.

        Raises:
            ValueError: there is none.
        """
        contact = self.account.book.find(email.lower())
        if contact is None:
            raise ValueError("There is no such contact")
        return contact

    def unsubscribe(self, email: str) -> None:
        """Let a contact opt out of the whole account."""
        self.account.book.unsubscribe(self.find_contact(email), at_s=self.clock.utc_s())

    def remove_from_list(self, email: str, list_id: str) -> None:
        """Take a contact off one list."""
        one = self.account.find_list(list_id)
        contact = self.find_contact(email)
        if one is not None:
            self.account.book.set_lists(contact, contact.list_bits & ~one.bit)

    def view(self, contact: Contact) -> ContactView:
        """Return a contact for inspection."""
        return ContactView(
            contact_id=contact.contact_id,
            email=contact.email,
            permission_to_send=contact.permission,
            list_ids=frozenset(self.account.list_ids_of(contact)),
            properties=contact.properties(),
            is_deleted=contact.deleted_s is not None,
        )
