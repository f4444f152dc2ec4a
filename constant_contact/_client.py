"""The client of one connection: what the rest of the house calls."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from types import TracebackType
from typing import Any, Self

import httpx

from constant_contact import _activities, _imports, _lists
from constant_contact._addresses import API_URL, AUTH_URL, parse_base_url
from constant_contact._auth import TokenKeeper
from constant_contact._credentials import Credentials, TokenStore
from constant_contact._errors import MalformedAnswer
from constant_contact._http import Timeouts, open_http
from constant_contact._imports import MaySend, Patience
from constant_contact._models import (
    Account,
    Activity,
    ActivityState,
    ContactList,
    CustomField,
    ImportReceipt,
    as_mapping,
    as_sequence,
    read_text,
)
from constant_contact._pacing import TOKEN_INTERVAL_S, Pacer, RateLimiter
from constant_contact._retry import Clock, Listener, Retrier, RetryPolicy, Sleep
from constant_contact._session import Session
from schemas.outcome import RequestCounts


class ConstantContact:
    """Talk to one Constant Contact account; an async context manager, for one event loop.

    `clock` and `deadline` are in epoch seconds, as token lifetimes and windows are shared
    between processes. No pause passes the deadline: WindowClosed is raised instead. `limiter` is
    what requests ask before they start; share one between clients that share an API key. A
    sign-in is renewed in an event loop of its own, for which another transport is opened.

    Raises:
        InsecureAddress: an address is neither https:// nor on this machine, or not to be read.
    """

    def __init__(
        self,
        *,
        credentials: Credentials,
        token_store: TokenStore,
        api_url: str = API_URL,
        auth_url: str = AUTH_URL,
        limiter: RateLimiter | None = None,
        token_limiter: RateLimiter | None = None,
        open_transport: Callable[[], httpx.AsyncBaseTransport | None] = lambda: None,
        deadline: float | None = None,
        timeouts: Timeouts | None = None,
        policy: RetryPolicy | None = None,
        patience: Patience | None = None,
        on_event: Listener | None = None,
        clock: Clock = time.time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        base = parse_base_url(api_url)
        auth_base = parse_base_url(auth_url, name="sign-in address")
        timeouts = timeouts or Timeouts()
        self._patience = patience or Patience()
        self._http = open_http(base, timeouts=timeouts, transport=open_transport())
        retrier = Retrier(
            clock=clock, sleep=sleep, deadline=deadline, on_event=on_event or (lambda _: None)
        )
        keeper = TokenKeeper(
            open_http=lambda: open_http(auth_base, timeouts=timeouts, transport=open_transport()),
            token_url=auth_base.copy_with(path=f"{auth_base.path.rstrip('/')}/token"),
            credentials=credentials,
            store=token_store,
            limiter=token_limiter or Pacer(interval_s=TOKEN_INTERVAL_S),
            retrier=retrier,
        )
        self._session = Session(
            http=self._http,
            base=base,
            keeper=keeper,
            limiter=limiter or Pacer(),
            retrier=retrier,
            policy=policy or RetryPolicy(),
            upload_timeout=timeouts.of(is_upload=True),
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    @property
    def request_counts(self) -> RequestCounts:
        """Count the requests sent to the API so far, repeats included."""
        return self._session.request_counts

    async def get_account(self, *, with_address: bool = False) -> Account:
        """Return the account that this connection reaches; needs the scope account_read.

        Raises:
            MalformedAnswer: the service does not say which one it is.
        """

        def read(answer: Any) -> Account:
            account = Account.from_json(answer)
            if account is None:
                raise MalformedAnswer(
                    "Constant Contact's answer about the account does not say which one it is; "
                    "check the API address, then run again."
                )
            return account

        params = {"extra_fields": "physical_address"} if with_address else None
        return read(await self._session.get("/account/summary", params, check=read))

    async def get_privileges(self) -> frozenset[str]:
        """Return the names of what the signed-in user may do, such as `contacts:write`."""
        answer = await self._session.get("/account/user/privileges")
        names = (read_text(as_mapping(e).get("privilege_name")) for e in as_sequence(answer))
        return frozenset(name for name in names if name)

    async def get_lists(self) -> list[ContactList]:
        """Return all contact lists of the account with their numbers of active members."""
        return await _lists.get_lists(self._session)

    async def resolve_list(self, text: str) -> ContactList:
        """Return the list meant by a UUID, by a number, or by an address that holds either.

        Raises:
            ListNotFound: there is none, and it names up to five that come near; or the text is an
                address that cannot be read.
        """
        return await _lists.resolve_list(self._session, text)

    async def get_custom_fields(self) -> list[CustomField]:
        """Return all custom fields of the account."""
        entries = self._session.iter_items(
            "/contact_custom_fields", "custom_fields", {"limit": "100"}, identity="name"
        )
        return [found async for entry in entries if (found := CustomField.from_json(entry))]

    def iter_activities(
        self, state: ActivityState | None = None, *, attempts: int | None = None
    ) -> AsyncGenerator[Activity, None]:
        """Yield the activities of the last ten days, in the service's order.

        `attempts` is for callers that ask again themselves: how often each page may fail.
        """
        return _activities.iter_activities(self._session, state, attempts=attempts)

    async def get_activity(self, activity_id: str) -> Activity:
        """Return one activity; raises NotFound for one that is unknown or older than ten days."""
        return await _activities.get_activity(self._session, activity_id)

    async def import_file(
        self,
        *,
        file_name: str,
        body: bytes,
        list_ids: Collection[str],
        known_ids: Collection[str] = frozenset(),
        may_send: Callable[[], Awaitable[MaySend]] | None = None,
        on_send: Callable[[], None] = lambda: None,
    ) -> ImportReceipt:
        """Import a CSV file into lists and return the activity that does it.

        `known_ids` are the activities of this file name that the caller has seen and does not
        want: they are never taken for this import when its answer is lost. `may_send` is asked
        before each sending, and while room in the account's queue is waited for. `on_send` is told
        when the request begins: before that it has certainly not arrived.

        Raises:
            SendingStopped: `may_send` said no.
            BodyTooLarge: the request would not be under 4,000,000 bytes; nothing was sent.
            RequestRefused: the service does not take it; it may be the file's contents.
            OutcomeUnknown: the answer was lost and the activities cannot be read either, whatever
                the reason.
            ConstantContactError: as the tree in `_errors` says.
        """
        return await _imports.import_file(
            self._session,
            file_name=file_name,
            body=body,
            list_ids=list_ids,
            known_ids=known_ids,
            patience=self._patience,
            may_send=may_send or _always,
            on_send=on_send,
        )


async def _always() -> MaySend:
    return MaySend.YES
