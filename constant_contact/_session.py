"""The one path that every API request takes: paced, authorised, sent, counted, understood."""

import asyncio
import io
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, BinaryIO

import httpx
from pydantic import SecretStr

from constant_contact._addresses import resolve_next
from constant_contact._answers import error_from_response, error_from_transport, read_json
from constant_contact._auth import TokenKeeper
from constant_contact._errors import (
    ApiUnreachable,
    MalformedAnswer,
    NotAuthorised,
    QuotaExceeded,
    Throttled,
)
from constant_contact._models import as_mapping, read_text
from constant_contact._pacing import RateLimiter
from constant_contact._quota import phrase_quota_return
from constant_contact._retry import Retrier, RetryPolicy, may_read_again
from schemas.outcome import RequestCounts

# 10,000 requests a day are the whole quota; no collection of ours comes near this.
_MOST_PAGES = 1_000


@dataclass(frozen=True, slots=True)
class Call:
    """One request as its caller asks for it; `tally` is the count that it adds to."""

    method: str
    url: httpx.URL
    params: Mapping[str, str] | None = None
    form: Mapping[str, str] | None = None
    file: tuple[str, bytes, str] | None = field(default=None, repr=False)  # holds people
    tally: str = ""
    on_send: Callable[[], None] = lambda: None

    @property
    def what(self) -> str:
        """Name the request for a person, without its query."""
        return f"{self.method} {self.url.path}"


class _Bearer(httpx.Auth):
    """Write the token into the request's headers only, which never show it when printed."""

    def __init__(self, token: SecretStr) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        yield request


class Session:
    """Send requests to the API of one connection, until its quota is used up."""

    def __init__(
        self,
        *,
        http: httpx.AsyncClient,
        base: httpx.URL,
        keeper: TokenKeeper,
        limiter: RateLimiter,
        retrier: Retrier,
        policy: RetryPolicy,
        upload_timeout: httpx.Timeout,
    ) -> None:
        self.retrier = retrier
        self._upload_timeout = upload_timeout
        self.policy = policy
        self._http = http
        self._base = base
        self._keeper = keeper
        self._limiter = limiter
        self._counts: Counter[str] = Counter()
        self._is_quota_used_up = False

    @property
    def request_counts(self) -> RequestCounts:
        """Count what was sent to the API so far; the sign-in service is not part of it."""
        return RequestCounts(**self._counts)

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        check: Callable[[Any], object] = lambda _: None,
        tally: str = "",
    ) -> Any:
        """GET a resource below the API's address and return its JSON, repeating passing faults.

        `check` raises MalformedAnswer for JSON that is of no use.
        """
        call = Call("GET", self._url(path), params, tally=tally)
        return await self._get(call, check, self.policy)

    async def iter_items(
        self,
        path: str,
        key: str,
        params: Mapping[str, str],
        *,
        identity: str,
        tally: str = "",
        attempts: int | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Yield the entries under `key` of every page of a collection.

        A page with null under the key is an empty one, and so is one that holds links and counts
        at most; JSON about something else is not. As no field is promised, a page without the key,
        or with an entry without its `identity`, is asked for once more before it is believed: what
        it leaves out would count as missing. `attempts` is for callers with a loop of their
        own: how often a page may fail, as often as ever unless given.
        """
        policy = self.policy if attempts is None else replace(self.policy, attempts=attempts)

        def check(page: Any) -> None:
            if not _is_page(page, key):
                raise MalformedAnswer(
                    f"Constant Contact's answer to {call.what} holds no {key}; check the API "
                    "address, then run again."
                )

        call = Call("GET", self._url(path), params, tally=tally)
        seen: set[str] = set()
        while True:
            page = await self._get(call, check, policy)
            if _may_be_damaged(page, key, identity):
                page = await self._get(call, check, policy)
            for item in page.get(key) or ():
                yield item
            links = as_mapping(page.get("_links"))
            href = read_text(as_mapping(links.get("next")).get("href"))
            if href is None:
                return
            if href in seen or len(seen) >= _MOST_PAGES:
                raise MalformedAnswer(
                    f"The pages of {call.what} do not end; run again, and tell Constant Contact "
                    "if it stays so."
                )
            seen.add(href)
            # As given: it holds the filters already.
            call = Call("GET", resolve_next(self._base, href), tally=tally)

    async def post_file(
        self,
        path: str,
        *,
        form: Mapping[str, str],
        file: tuple[str, bytes, str],
        on_send: Callable[[], None],
    ) -> httpx.Response:
        """POST a file once: whether it may be repeated is for the caller to find out.

        `on_send` is told when its turn has come.
        """
        call = Call("POST", self._url(path), form=form, file=file, tally="uploads", on_send=on_send)
        return await self._send(call)

    def count_repeat(self) -> None:
        """Count a request that had been sent before."""
        self._counts["retried"] += 1

    async def _get(self, call: Call, check: Callable[[Any], object], policy: RetryPolicy) -> Any:
        attempts = 0

        async def attempt() -> Any:
            nonlocal attempts
            attempts += 1
            if attempts > 1:
                self.count_repeat()
            answer = read_json(await self._send(call))
            check(answer)
            return answer

        return await self.retrier.call(
            attempt, what=call.what, policy=policy, may_repeat=may_read_again
        )

    async def _send(self, call: Call) -> httpx.Response:
        """Send a request unless the quota is used up, and remember when it is."""
        self._require_quota()
        try:
            return await self._send_authorised(call)
        except QuotaExceeded as error:
            self._is_quota_used_up = True
            raise self._quota_exceeded(error.error_key) from None

    async def _send_authorised(self, call: Call) -> httpx.Response:
        """Send a request, once more with a new token when the first is refused."""
        token = await self._keeper.access_token()
        try:
            return await self._exchange(call, token)
        except NotAuthorised:
            # Refused is not accepted: this repeat is safe for every request.
            self._require_quota()
            token = await self._keeper.renew(refused=token)
        self.count_repeat()
        return await self._exchange(call, token)

    async def _exchange(self, call: Call, token: SecretStr) -> httpx.Response:
        await self._limiter.acquire()
        self._require_quota()  # it may have ended while this request stood in line
        self._counts["total"] += 1
        if call.tally:
            self._counts[call.tally] += 1
        call.on_send()
        response = await self._ask(call, token)
        if response.is_success:
            return response
        refusal = error_from_response(response, is_activity_post=call.method == "POST")
        self._counts["throttled"] += isinstance(refusal, Throttled)
        raise refusal

    async def _ask(self, call: Call, token: SecretStr) -> httpx.Response:
        """Send a request and return its answer; a refusal whose body is lost comes without one.

        Raises:
            ConstantContactError: there was no answer, or the body of a good one was lost: then the
                error holds its status, which says whether the request was carried out.
        """
        response: httpx.Response | None = None
        try:
            async with (
                asyncio.timeout(self.retrier.request_limit_s()),
                self._http.stream(
                    call.method,
                    call.url,
                    params=call.params,
                    data=call.form,
                    files=_open_file(call),
                    auth=_Bearer(token),
                    headers={"Accept": "application/json"},
                    timeout=self._upload_timeout if call.file else httpx.USE_CLIENT_DEFAULT,
                ) as response,
            ):
                await response.aread()
                return response
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL) as error:
            if response is not None and not response.is_success:
                return httpx.Response(response.status_code)
            status = response.status_code if response is not None else None
            if not isinstance(error, TimeoutError):
                raise error_from_transport(error, status=status) from None
            raise ApiUnreachable(
                f"Constant Contact did not finish answering {call.what} in time; run again.",
                status=status,
            ) from None

    def _require_quota(self) -> None:
        """Raise QuotaExceeded when the service has said so before: then nothing more is sent."""
        if self._is_quota_used_up:
            raise self._quota_exceeded("quota_exceeded")

    def _quota_exceeded(self, error_key: str | None) -> QuotaExceeded:
        returns = phrase_quota_return(datetime.fromtimestamp(self.retrier.clock(), UTC))
        return QuotaExceeded(
            f"Today's quota of requests is used up; it returns {returns}. Run again then.",
            status=HTTPStatus.TOO_MANY_REQUESTS,
            error_key=error_key,
        )

    def _url(self, path: str) -> httpx.URL:
        return self._base.copy_with(raw_path=self._base.raw_path.rstrip(b"/") + path.encode())


def _may_be_damaged(page: Mapping[str, Any], key: str, identity: str) -> bool:
    """Tell whether a page lacks its entries, or an entry what it is known by."""
    entries = page.get(key)
    return entries is None or any(not as_mapping(entry).get(identity) for entry in entries)


def _is_page(page: object, key: str) -> bool:
    """Tell whether JSON is a page of a collection; no key of it is promised."""
    if not isinstance(page, Mapping):
        return False
    if key in page:
        return isinstance(page[key], list | None)
    return all(name.startswith("_") or name.endswith("_count") for name in page)


def _open_file(call: Call) -> dict[str, tuple[str, BinaryIO, str]] | None:
    """Open the file anew for each sending.

    As a stream it goes out in pieces that each have the write time-out to themselves: 4 MB at
    once would need a line of 67 kB/s.
    """
    if call.file is None:
        return None
    name, body, media_type = call.file
    return {"file": (name, io.BytesIO(body), media_type)}
