"""The sign-in service as a person's sign-in needs it: exchange a code, or wait for a device's."""

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import SecretStr

from constant_contact._addresses import AUTH_URL, parse_base_url
from constant_contact._answers import (
    error_from_response,
    error_from_transport,
    read_complaint,
    read_json,
)
from constant_contact._credentials import Credentials, Tokens, Unpicklable
from constant_contact._errors import (
    ApiUnreachable,
    ConstantContactError,
    InsecureAddress,
    MalformedAnswer,
    RequestRefused,
    ServerFault,
    SignInAbandoned,
    SignInExpired,
    SignInRefused,
    Throttled,
)
from constant_contact._http import Timeouts, open_http
from constant_contact._models import as_mapping, read_count, read_text
from constant_contact._pacing import TOKEN_INTERVAL_S, Pacer, RateLimiter
from constant_contact._retry import Clock, Listener, Retrier, RetryPolicy, Sleep, may_read_again
from constant_contact._sign_in import SCOPES, BrowserSignIn, Granted, check_page_address, refusal

_EXCHANGE_POLICY = RetryPolicy(attempts=4, total_s=60.0, waiting_total_s=60.0, first_wait_s=1.0)
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_SLOWER_BY_S = 5.0  # RFC 8628, on slow_down

# For an answer that does not say.
_DEFAULT_INTERVAL_S = 5
_DEFAULT_DEVICE_LIFE_S = 600

_LOST = "The answer that held the new sign-in was lost, and its code works only once"

ABANDONED = (
    "Nobody finished signing in while the sign-in was open; run the command again, and sign in "
    "before its time is over."
)


@dataclass(frozen=True, slots=True)
class DeviceSignIn(Unpicklable):
    """A device's sign-in that has begun: what to show the person, and how often to ask."""

    url: str
    user_code: str = field(repr=False)
    complete_url: str = field(repr=False)
    device_code: SecretStr
    interval_s: float
    expires_at: float


class SignInService:
    """Sign a person in; an async context manager, for one event loop.

    Raises:
        InsecureAddress: the address is neither https:// nor on this machine.
    """

    def __init__(
        self,
        *,
        credentials: Credentials,
        auth_url: str = AUTH_URL,
        limiter: RateLimiter | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        timeouts: Timeouts | None = None,
        on_event: Listener | None = None,
        clock: Clock = time.time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._base = parse_base_url(auth_url, name="sign-in address")
        self._http = open_http(self._base, timeouts=timeouts, transport=transport)
        self._credentials = credentials
        self._limiter = limiter or Pacer(interval_s=TOKEN_INTERVAL_S)
        self._retrier = Retrier(
            clock=clock, sleep=sleep, deadline=None, on_event=on_event or (lambda _: None)
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

    async def exchange_code(self, begun: BrowserSignIn, code: SecretStr) -> Granted:
        """Exchange the code of a browser sign-in for tokens; it works once, for five minutes.

        Raises:
            SignInRefused: the code is spent or has expired.
            NotAuthorised: the API key or its secret is refused.
            ConstantContactError: the service does not answer as it should, after repeats.
        """
        form = {
            "grant_type": "authorization_code",
            "code": code.get_secret_value(),
            "redirect_uri": begun.redirect_url,
            "code_verifier": begun.verifier.get_secret_value(),
        }
        is_answer_lost = False

        async def attempt() -> Granted:
            nonlocal is_answer_lost
            try:
                return self._read_tokens(await self._post_form("token", form))
            except (ApiUnreachable, ServerFault, MalformedAnswer):
                is_answer_lost = True
                raise

        try:
            return await self._retrier.call(
                attempt, what="sign in", policy=_EXCHANGE_POLICY, may_repeat=may_read_again
            )
        except SignInExpired as error:
            reason = (
                _LOST
                if is_answer_lost
                else "The code that the browser came back with has expired or was used already"
            )
            raise SignInRefused(
                f"{reason}; sign in again.", status=error.status, error_key=error.error_key
            ) from error
        except RequestRefused as error:
            raise refusal(error.error_key) from error

    async def start_device(self, scopes: Collection[str] = SCOPES) -> DeviceSignIn:
        """Ask for the codes of a device sign-in.

        Raises:
            SignInRefused: the application is not made for it.
            ConstantContactError: the service does not answer as it should, after repeats.
        """
        form = {"client_id": self._credentials.client_id, "scope": " ".join(scopes)}

        async def attempt() -> DeviceSignIn:
            return self._read_device(await self._post_form("device/authorize", form, basic=False))

        try:
            return await self._retrier.call(
                attempt, what="begin to sign in", policy=_EXCHANGE_POLICY, may_repeat=may_read_again
            )
        except RequestRefused as error:
            raise refusal(error.error_key) from error

    async def wait_for_device(
        self, device: DeviceSignIn, *, give_up_at: float = float("inf")
    ) -> Granted:
        """Ask until the person has decided; `give_up_at` is in epoch seconds.

        Raises:
            SignInRefused: the person denies access.
            SignInAbandoned: nobody decided in time.
            NotAuthorised: the API key is refused.
        """
        form = {"grant_type": _DEVICE_GRANT, "device_code": device.device_code.get_secret_value()}
        interval_s = device.interval_s
        gives_up_at = min(device.expires_at, give_up_at)
        is_answer_lost = False
        while self._retrier.clock() + interval_s <= gives_up_at:
            await self._retrier.sleep(interval_s)
            try:
                return self._read_tokens(await self._post_form("token", form, basic=False))
            except RequestRefused as error:
                if error.error_key == "slow_down":
                    interval_s += _SLOWER_BY_S
                elif error.error_key == "expired_token":
                    raise SignInAbandoned(ABANDONED) from error
                elif error.error_key != "authorization_pending":
                    raise refusal(error.error_key) from error
            except SignInExpired as error:
                if is_answer_lost:
                    raise SignInRefused(f"{_LOST}; sign in again.") from error
                raise SignInAbandoned(ABANDONED) from error
            except ConstantContactError as error:
                if not may_read_again(error):
                    raise
                is_answer_lost |= not isinstance(error, Throttled)
                interval_s += _SLOWER_BY_S  # it may be busy: ask less often, as of slow_down
        raise SignInAbandoned(ABANDONED)

    async def _post_form(
        self, path: str, form: dict[str, str], *, basic: bool = True
    ) -> httpx.Response:
        """POST to the service as this application; the device flow is documented without Basic."""
        await self._limiter.acquire()
        secret = self._credentials.client_secret
        auth = httpx.Auth()  # adds nothing
        if basic and secret is not None:
            auth = httpx.BasicAuth(self._credentials.client_id, secret.get_secret_value())
        else:
            form = form | {"client_id": self._credentials.client_id}
        url = self._base.copy_with(path=f"{self._base.path.rstrip('/')}/{path}")
        try:
            async with asyncio.timeout(self._retrier.request_limit_s()):
                response = await self._http.post(
                    url, data=form, auth=auth, headers={"Accept": "application/json"}
                )
        except TimeoutError:
            raise ApiUnreachable(
                "Constant Contact's sign-in service did not finish answering in time; try again."
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise error_from_transport(error) from None
        if response.is_success:
            return response
        if read_complaint(response).key == "access_denied":
            raise refusal("access_denied")
        raise error_from_response(response, is_sign_in=True)

    def _read_tokens(self, response: httpx.Response) -> Granted:
        answer = read_json(response)
        tokens = Tokens.from_answer(answer, now=self._retrier.clock())
        scope = read_text(as_mapping(answer).get("scope"))
        return Granted(tokens, None if scope is None else frozenset(scope.split()))

    def _read_device(self, response: httpx.Response) -> DeviceSignIn:
        found: Any = as_mapping(read_json(response))
        device_code = read_text(found.get("device_code"))
        user_code = read_text(found.get("user_code"))
        url = read_text(found.get("verification_uri"))
        if not (device_code and user_code and url and user_code.isprintable()):
            raise MalformedAnswer(
                "The sign-in service answered without the codes of a device; try again."
            )
        complete_url = read_text(found.get("verification_uri_complete")) or url
        try:
            check_page_address(url)
            check_page_address(complete_url)
        except InsecureAddress:
            raise MalformedAnswer(
                "The sign-in service names a page that is not safe to open; check its address."
            ) from None
        life_s = read_count(found.get("expires_in")) or _DEFAULT_DEVICE_LIFE_S
        return DeviceSignIn(
            url=url,
            user_code=user_code,
            complete_url=complete_url,
            device_code=SecretStr(device_code),
            interval_s=read_count(found.get("interval")) or _DEFAULT_INTERVAL_S,
            expires_at=self._retrier.clock() + life_s,
        )
