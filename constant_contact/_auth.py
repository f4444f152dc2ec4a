"""Access tokens: fetched under a lock, stored before use, refreshed once when refused."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import httpx
from pydantic import SecretStr

from constant_contact._answers import error_from_response, error_from_transport, read_json
from constant_contact._credentials import Credentials, Tokens, TokenStore
from constant_contact._errors import (
    AccessDenied,
    ApiUnreachable,
    ConstantContactError,
    NotAuthorised,
    QuotaExceeded,
    SignInExpired,
    SignInOutOfReach,
    SignInReplaced,
    SignInUnavailable,
    WindowClosed,
)
from constant_contact._events import ApiEvent, EventKind
from constant_contact._fate import Fate
from constant_contact._finishing import finish
from constant_contact._pacing import RateLimiter
from constant_contact._retry import Listener, Retrier, RetryPolicy

T = TypeVar("T")

_REFRESH_POLICY = RetryPolicy(attempts=5, total_s=90.0, waiting_total_s=120.0, first_wait_s=1.0)

# Only these say that asking again is pointless; a body of HTML or an odd status may pass.
_FINAL = (
    AccessDenied,
    NotAuthorised,
    QuotaExceeded,
    SignInReplaced,
    SignInUnavailable,
    WindowClosed,
)

# How long another's answer may take to its store, when our refresh token was spent by them.
_LATE_STORE_S = 2.0

# How often a store that does not answer is asked again, before anything is spent.
_STORE_POLICY = RetryPolicy(attempts=8, total_s=60.0, first_wait_s=1.0, longest_wait_s=15.0)

# How long a store that fails is tried again: with the new tokens the connection would be lost.
_SAVE_TOTAL_S = 60.0
_FIRST_SAVE_PAUSE_S = 1.0
_LONGEST_SAVE_PAUSE_S = 15.0


class TokenKeeper:
    """Give out the access token of one connection, and renew it when it is spent."""

    def __init__(
        self,
        *,
        open_http: Callable[[], httpx.AsyncClient],
        token_url: httpx.URL,
        credentials: Credentials,
        store: TokenStore,
        limiter: RateLimiter,
        retrier: Retrier,
    ) -> None:
        self._open_http = open_http
        self._token_url = token_url
        self._credentials = credentials
        self._store = store
        self._limiter = limiter
        self._retrier = retrier
        self._tokens: Tokens | None = None
        self._unsaved: Tokens | None = None  # nobody else has them, and what came before is spent
        self._turn = asyncio.Lock()

    async def access_token(self) -> SecretStr:
        """Return an access token that has not expired."""
        if self._tokens is None or not self._is_fresh(self._tokens):
            return await self.renew()
        return self._tokens.access_token

    async def renew(self, *, refused: SecretStr | None = None) -> SecretStr:
        """Return another access token than the one that was refused.

        Whoever holds the lock reads the store again: when another task or process has renewed
        the tokens meanwhile, theirs are used.

        Raises:
            SignInExpired: the refresh token is spent, revoked or absent.
            SignInUnavailable: the sign-in service or the store fails, after repeats.
        """
        async with self._turn:
            if self._tokens is None or not self._is_usable(self._tokens, refused):
                self._tokens = await self._load_or_refresh(refused)
            return self._tokens.access_token

    async def _load_or_refresh(self, refused: SecretStr | None) -> Tokens:
        if self._unsaved is None:
            stored = await self._ask_store(self._store.load, what="read the sign-in")
            if self._is_usable(stored, refused):
                return stored
        async with self._store.lock():
            await self._save_what_is_left()
            stored = await self._ask_store(self._store.load, what="read the sign-in")
            if self._is_usable(stored, refused):
                return stored
            if not stored.refresh_token.get_secret_value():
                raise SignInExpired(
                    "This connection's sign-in has expired and cannot be renewed; connect again "
                    "with the scope offline_access."
                )
            try:
                return await self._refresh(stored)
            except (SignInExpired, SignInReplaced):
                newest = await self._find_newer(stored)
                if newest is None:
                    raise
                return newest if self._is_usable(newest, refused) else await self._refresh(newest)

    async def _ask_store(self, ask: Callable[[], Awaitable[T]], *, what: str) -> T:
        """Ask the store, and again where it does not answer: its server may be starting anew."""
        return await self._retrier.call(
            ask,
            what=what,
            policy=_STORE_POLICY,
            may_repeat=lambda error: isinstance(error, SignInOutOfReach),
        )

    async def _save_what_is_left(self) -> None:
        """Save what an earlier renewal could not, before the store is asked for anything.

        A sign-in that somebody has made meanwhile stays.
        """
        left = self._unsaved
        if left is not None:
            with suppress(SignInReplaced):
                await self._whatever_stops(lambda tell: self._save_renewed(left, tell))

    async def _find_newer(self, sent: Tokens) -> Tokens | None:
        """Look, and a moment later again, whether others have been stored meanwhile.

        Somebody may have connected again, or, where a lock was not kept, renewed them.
        """
        for wait_s in (0.0, _LATE_STORE_S):
            await self._retrier.sleep(wait_s)
            newest = await self._ask_store(self._store.load, what="read the sign-in")
            if not _same_grant(newest, sent):
                return newest
        return None

    async def _refresh(self, spent: Tokens) -> Tokens:
        self._retrier.announce(ApiEvent(EventKind.REFRESH, "refresh the sign-in"))
        await self._ask_store(self._store.begin, what="note that the sign-in is renewed")
        fate = Fate()

        async def attempt() -> Tokens:
            await self._limiter.acquire()
            with fate.followed():
                return await self._whatever_stops(lambda tell: self._exchange_and_save(spent, tell))

        try:
            return await self._retrier.call(
                attempt,
                what="refresh the sign-in",
                policy=_REFRESH_POLICY,
                may_repeat=_may_refresh_again,
            )
        except ConstantContactError as error:
            if not _may_refresh_again(error):
                raise
            # Not retryable any more: the request that wanted the token must not begin all over.
            raise SignInUnavailable(
                "Constant Contact's sign-in service does not answer as it should "
                f"({type(error).__name__}); run again later.",
                status=error.status,
            ) from error
        finally:
            if not fate.may_be_spent:
                await self._store.withdraw()

    async def _whatever_stops(self, work: Callable[[Listener], Coroutine[Any, Any, T]]) -> T:
        """Let what has begun end in the store: the answer of an exchange cannot be had twice."""
        loop = asyncio.get_running_loop()

        def tell(event: ApiEvent) -> None:
            with suppress(RuntimeError):  # the loop of who would hear it is closed
                loop.call_soon_threadsafe(self._retrier.announce, event)

        return await finish(lambda: work(tell))

    async def _exchange_and_save(self, spent: Tokens, tell: Listener) -> Tokens:
        return await self._save_renewed(await self._exchange(spent), tell)

    async def _save_renewed(self, renewed: Tokens, tell: Listener) -> Tokens:
        # The old refresh token died with the answer: until the new one is kept, nothing else
        # happens, and if keeping it fails it is what the next try begins with.
        self._unsaved = renewed
        try:
            await self._save(renewed, tell)
        except SignInReplaced:
            self._unsaved = None
            raise
        self._unsaved = None
        return renewed

    async def _save(self, tokens: Tokens, tell: Listener) -> None:
        """Store tokens, also when the store fails for a while or the window ends meanwhile.

        Raises:
            SignInReplaced: what they were to replace is not there any more.
            SignInUnavailable: it fails for a minute.
        """
        gives_up = self._retrier.clock() + _SAVE_TOTAL_S
        pause_s = _FIRST_SAVE_PAUSE_S
        for attempt in itertools.count(1):
            try:
                await self._store.save(tokens)
            except SignInReplaced:
                raise
            except Exception as error:  # noqa: BLE001 - a store may fail in any way
                reason = _tell_reason(error)
            else:
                return
            if self._retrier.clock() + pause_s > gives_up:
                raise SignInUnavailable(
                    f"The new sign-in could not be stored ({reason}); run again, and connect "
                    "again if that run says that the sign-in has expired."
                )
            tell(
                ApiEvent(
                    EventKind.RETRY,
                    "store the new sign-in",
                    reason=reason,
                    attempt=attempt,
                    wait_s=pause_s,
                )
            )
            await self._retrier.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_SAVE_PAUSE_S)

    async def _exchange(self, spent: Tokens) -> Tokens:
        form = {
            "grant_type": "refresh_token",
            "refresh_token": spent.refresh_token.get_secret_value(),
        }
        secret = self._credentials.client_secret
        basic: httpx.Auth = httpx.Auth()  # adds nothing
        if secret is None:
            form["client_id"] = self._credentials.client_id
        else:
            basic = httpx.BasicAuth(self._credentials.client_id, secret.get_secret_value())
        # Cut off by the window, the answer would be lost, and with it a refresh token that rotates.
        limit_s = self._retrier.request_limit_s(may_outlast_window=True)
        try:
            async with asyncio.timeout(limit_s), self._open_http() as http:
                response = await http.post(
                    self._token_url, data=form, auth=basic, headers={"Accept": "application/json"}
                )
        except TimeoutError:
            raise ApiUnreachable(
                "Constant Contact's sign-in service did not finish answering in time; run again."
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise error_from_transport(error) from None
        if not response.is_success:
            raise error_from_response(response, is_sign_in=True)
        return Tokens.from_answer(read_json(response), now=self._retrier.clock(), previous=spent)

    def _is_fresh(self, tokens: Tokens) -> bool:
        has_token = bool(tokens.access_token.get_secret_value())
        return has_token and self._retrier.clock() < tokens.expires_at

    def _is_usable(self, tokens: Tokens, refused: SecretStr | None) -> bool:
        return self._is_fresh(tokens) and tokens.access_token != refused


def _same_grant(one: Tokens, other: Tokens) -> bool:
    return one.refresh_token == other.refresh_token


def _may_refresh_again(error: BaseException) -> bool:
    return isinstance(error, ConstantContactError) and not isinstance(error, _FINAL)


def _tell_reason(error: Exception) -> str:
    """Say in our own words why a store failed; those of others may quote what it was to store."""
    if isinstance(error, ConstantContactError):
        return str(error).partition(";")[0].rstrip(".")
    return type(error).__name__
