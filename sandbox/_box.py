"""The handle of a sandbox that runs in this process."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sandbox._faults import Fault
from sandbox._request_log import RequestRecord, most_in_any_second
from sandbox._tokens import ACCOUNT_OWNER, ALL_SCOPES
from sandbox._world import AppCredentials, ContactView, World

ANSWER_WITHIN_S = 60.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Places:
    """Where a sandbox answers."""

    api_url: str
    auth_url: str
    admin_url: str


class Box:
    """A running sandbox: where it is, how to get in, and what to do to it from outside.

    Methods wait until the sandbox has done what they say, jobs that are due included. They are
    called from other threads than the sandbox's own.
    """

    def __init__(self, world: World, places: Places, loop: asyncio.AbstractEventLoop) -> None:
        client = world.first_consent.client
        self.api_url = places.api_url
        self.auth_url = places.auth_url
        self.admin_url = places.admin_url
        self.client_id = client.client_id
        self.client_secret = client.client_secret
        self.refresh_token = world.first_consent.refresh_token
        self._world = world
        self._loop = loop
        self.state = State(world, self._on_loop)

    def add_list(self, name: str) -> str:
        """Create a contact list and return its id."""
        return self._on_loop(lambda: self._world.account.add_list(name).list_id)

    def add_custom_field(self, label: str, kind: str = "string") -> str:
        """Create a custom field and return its name."""
        return self._on_loop(lambda: self._world.account.add_custom_field(label, kind).name)

    def add_contact(
        self,
        email: str,
        *,
        list_ids: Collection[str] = (),
        permission_to_send: str = "implicit",
        properties: Mapping[str, str] | None = None,
        is_deleted: bool = False,
    ) -> str:
        """Put a contact into the account and return its id; `properties` by import column."""
        return self._on_loop(
            lambda: (
                self._world.put_contact(
                    email,
                    list_ids=list_ids,
                    permission_to_send=permission_to_send,
                    properties=properties,
                    is_deleted=is_deleted,
                ).contact_id
            )
        )

    def unsubscribe(self, email: str) -> None:
        """Let a contact opt out of the whole account."""
        self._on_loop(lambda: self._world.unsubscribe(email))

    def remove_from_list(self, email: str, list_id: str) -> None:
        """Take a contact off one list."""
        self._on_loop(lambda: self._world.remove_from_list(email, list_id))

    def script(self, *faults: Fault) -> None:
        """Arm faults; the requests that they count begin now."""
        self._on_loop(lambda: self._world.script.add(faults))

    def clear_script(self) -> None:
        """Forget all faults."""
        self._on_loop(self._world.script.clear)

    def add_client(
        self,
        client_id: str = "",
        *,
        is_rotating: bool = True,
        is_public: bool = False,
        redirect_uris: Collection[str] = (),
        scopes: Collection[str] = ALL_SCOPES,
        privileges: Collection[str] = ACCOUNT_OWNER,
    ) -> AppCredentials:
        """Let a user with some privileges allow an application some scopes.

        A known `client_id` is that application again, for another user or other scopes. A new one
        gets no more than these scopes at any later sign-in, and without `redirect_uris` those of
        the first application.
        """

        def add() -> AppCredentials:
            consent = self._world.consent(
                client_id=client_id,
                is_rotating=is_rotating,
                is_public=is_public,
                redirect_uris=redirect_uris,
                scopes=scopes,
                privileges=privileges,
            )
            client = consent.client
            return AppCredentials(client.client_id, client.client_secret, consent.refresh_token)

        return self._on_loop(add)

    def deactivate_client(self, client_id: str) -> None:
        """Deactivate an application (case 26's neighbour: 403 on every call)."""

        def deactivate() -> None:
            self._world.desk.clients[client_id].is_active = False

        self._on_loop(deactivate)

    def revoke(self, client_id: str) -> None:
        """Take back what users allowed an application: all of its tokens stop working."""
        self._on_loop(lambda: self._world.desk.revoke(client_id))

    def access_token(
        self,
        *,
        scopes: Collection[str] = ALL_SCOPES,
        privileges: Collection[str] = ACCOUNT_OWNER,
        client_id: str = "",
        life_s: float | None = None,
    ) -> str:
        """Return a fresh access token without a request; `life_s` 0 is one that has expired."""

        def issue() -> str:
            consent = self._world.consent(
                client_id=client_id or self.client_id, scopes=scopes, privileges=privileges
            )
            return self._world.desk.issue_access_token(consent, life_s=life_s)

        return self._on_loop(issue)

    def _on_loop(self, act: Callable[[], T]) -> T:
        async def settle_and_act() -> T:
            await self._world.account.activities.settle()
            return act()

        future = asyncio.run_coroutine_threadsafe(settle_and_act(), self._loop)
        return future.result(ANSWER_WITHIN_S)


class State:
    """What a sandbox holds, copied out for inspection."""

    def __init__(self, world: World, on_loop: Callable[[Callable[[], Any]], Any]) -> None:
        self._world = world
        self._on_loop = on_loop

    def contact(self, email: str) -> ContactView | None:
        """Return the contact with an e-mail address, deleted or not."""

        def find() -> ContactView | None:
            contact = self._world.account.book.find(email.lower())
            return None if contact is None else self._world.view(contact)

        found: ContactView | None = self._on_loop(find)
        return found

    def contact_count(self) -> int:
        """Return the number of contacts, deleted ones included."""
        count: int = self._on_loop(lambda: len(self._world.account.book.contacts))
        return count

    def members(self, list_id: str) -> dict[str, dict[str, str]]:
        """Return the properties of a list's members by e-mail address."""

        def find() -> dict[str, dict[str, str]]:
            one = self._world.account.find_list(list_id)
            book = self._world.account.book
            return {c.email: c.properties() for c in book.iter_members(one.bit if one else 0)}

        found: dict[str, dict[str, str]] = self._on_loop(find)
        return found

    def sequence_id(self, list_id: str) -> str:
        """Return the number of a list in its web address."""

        def find() -> str:
            one = self._world.account.find_list(list_id)
            return "" if one is None else str(one.sequence_id)

        found: str = self._on_loop(find)
        return found

    def activities(self) -> list[dict[str, Any]]:
        """Return all activities, oldest first and hidden ones too, as the API tells them."""

        def find() -> list[dict[str, Any]]:
            now_s = self._world.clock.utc_s()
            newest_first = self._world.account.activities.newest_first()
            return [activity.show(now_s) for activity in reversed(newest_first)]

        found: list[dict[str, Any]] = self._on_loop(find)
        return found

    def requests(self, operation: str = "") -> list[RequestRecord]:
        """Return the requests so far, of one operation where it is given."""

        def find() -> list[RequestRecord]:
            records = self._world.requests.records
            return [replace(one) for one in records if operation in {"", one.operation}]

        found: list[RequestRecord] = self._on_loop(find)
        return found

    def most_requests_in_any_second(self, client_id: str = "") -> int:
        """Return the largest number of API requests that arrived less than a second apart."""
        return most_in_any_second(self.requests(), client_id)
