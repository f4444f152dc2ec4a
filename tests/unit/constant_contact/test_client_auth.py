"""One refresher at a time, the new token stored before it is used, nothing secret shown."""

import asyncio
import base64
import pickle
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from constant_contact import (
    ConstantContactError,
    Credentials,
    EventKind,
    MemoryTokenStore,
    NotAuthorised,
    SignInExpired,
    SignInOutOfReach,
    SignInReplaced,
    SignInUnavailable,
    Tokens,
)

pytestmark = pytest.mark.anyio

ACCOUNT = "GET /v3/account/summary"
TOKEN = "POST /oauth2/default/v1/token"
NEW = {"access_token": "access-1", "refresh_token": "refresh-1", "expires_in": 86400}
OLD = "refresh-0"
INVALID_GRANT = {"error": "invalid_grant", "error_description": "ann@example.com"}


def expired(refresh_token: str = OLD) -> Tokens:
    return Tokens.of(access_token="access-0", refresh_token=refresh_token, expires_at=0)


def bearer(request: httpx.Request) -> str:
    return request.headers["Authorization"].removeprefix("Bearer ")


async def test_an_expired_token_is_refreshed_before_it_is_used(stage: Any, answer: Any) -> None:
    stage.store.tokens = expired()
    stage.script.on(TOKEN, answer(200, NEW)).on(ACCOUNT, answer(200, {}))
    async with stage.client() as client:
        await client.get_account()
        await client.get_account()
    token_request, *api_requests = stage.script.requests
    form = parse_qs(token_request.content.decode())
    assert form == {"grant_type": ["refresh_token"], "refresh_token": ["refresh-0"]}
    basic = base64.b64encode(b"key:hush").decode()
    assert token_request.headers["Authorization"] == f"Basic {basic}"
    assert not token_request.url.query
    assert [bearer(request) for request in api_requests] == ["access-1"] * 2
    assert [event.kind for event in stage.events] == [EventKind.REFRESH]
    assert client.request_counts.total == 2
    tokens = stage.store.tokens
    assert tokens.expires_at == pytest.approx(stage.time.now + 86400 - 300, abs=1)


async def test_a_public_client_names_itself_in_the_body(stage: Any, answer: Any) -> None:
    stage.store.tokens, stage.credentials = expired(), Credentials.of("key")
    stage.script.on(TOKEN, answer(200, NEW)).on(ACCOUNT, answer(200, {}))
    async with stage.client() as client:
        await client.get_account()
    form = parse_qs(stage.script.requests[0].content.decode())
    assert form["client_id"] == ["key"]
    assert "Authorization" not in stage.script.requests[0].headers


async def test_the_new_token_is_stored_before_it_is_used(stage: Any, answer: Any) -> None:
    happened: list[str] = []

    class Watched(MemoryTokenStore):
        async def save(self, tokens: Tokens) -> None:
            await asyncio.sleep(0)
            happened.append(f"saved {tokens.refresh_token.get_secret_value()}")
            await super().save(tokens)

    def use(request: httpx.Request) -> httpx.Response:
        happened.append(f"used {bearer(request)}")
        return httpx.Response(200, json={})

    stage.script.on(TOKEN, answer(200, NEW)).on(ACCOUNT, use)
    async with stage.client(token_store=Watched(expired())) as client:
        await client.get_account()
    assert happened == ["saved refresh-1", "used access-1"]


class Hiccuping(MemoryTokenStore):
    """Refuses to save a number of times."""

    fails = 1

    async def save(self, tokens: Tokens) -> None:
        if self.fails:
            self.fails -= 1
            raise OSError(f"disk full at {tokens.refresh_token.get_secret_value()}")
        await super().save(tokens)


@pytest.mark.parametrize("window_s", [None, 0.5])
async def test_a_store_that_fails_once_is_tried_again(
    stage: Any, answer: Any, window_s: float | None
) -> None:
    store = Hiccuping(expired())
    stage.script.on(TOKEN, answer(200, NEW), answer(400, INVALID_GRANT))
    stage.script.on(ACCOUNT, answer(200, {}))
    deadline = None if window_s is None else stage.time.now + window_s
    async with stage.client(token_store=store, deadline=deadline) as client:
        await client.get_account()
    assert store.tokens.refresh_token.get_secret_value() == "refresh-1"
    assert [event.kind for event in stage.events] == [EventKind.REFRESH, EventKind.RETRY]


async def test_a_token_that_cannot_be_stored_is_not_used_nor_lost(stage: Any, answer: Any) -> None:
    store = Hiccuping(expired())
    store.fails = 1_000
    stage.script.on(TOKEN, answer(200, NEW), answer(400, INVALID_GRANT))
    stage.script.on(ACCOUNT, answer(200, {}))
    began = stage.time.now
    async with stage.client(token_store=store) as client:
        with pytest.raises(SignInUnavailable, match=r"OSError.*connect again") as caught:
            await client.get_account()
        assert 30 < stage.time.now - began <= 60
        assert stage.script.count(ACCOUNT) == 0
        store.fails = 0
        await client.get_account()
    assert stage.script.count(TOKEN) == 1
    assert "refresh-1" not in f"{caught.value}{stage.events}"
    assert store.tokens.refresh_token.get_secret_value() == "refresh-1"


async def test_tokens_that_were_not_stored_do_not_replace_a_newer_sign_in(
    stage: Any, answer: Any
) -> None:
    store = Hiccuping(expired())
    store.fails = 1_000
    newer = {"access_token": "access-9", "refresh_token": "refresh-9"}
    stage.script.on(TOKEN, answer(200, NEW), answer(200, newer)).on(ACCOUNT, answer(200, {}))
    async with stage.client(token_store=store) as client:
        with pytest.raises(SignInUnavailable):
            await client.get_account()
        store.fails, store.tokens = 0, expired("refresh-new")  # somebody has connected again
        await client.get_account()
    assert store.tokens.refresh_token.get_secret_value() == "refresh-9"


class OutOfReach(MemoryTokenStore):
    """Does not answer to some of its calls, a number of times."""

    def __init__(self, tokens: Tokens, **fails: int) -> None:
        super().__init__(tokens)
        self.fails = fails

    def _answer(self, call: str) -> None:
        if self.fails.get(call, 0):
            self.fails[call] -= 1
            raise SignInOutOfReach

    async def load(self) -> Tokens:
        self._answer("load")
        return await super().load()

    async def begin(self) -> None:
        self._answer("begin")

    async def save(self, tokens: Tokens) -> None:
        self._answer("save")
        await super().save(tokens)


@pytest.mark.parametrize("call", ["load", "begin", "save"])
async def test_a_store_that_does_not_answer_for_a_while_is_asked_again(
    stage: Any, answer: Any, call: str
) -> None:
    store = OutOfReach(expired(), **{call: 3})
    stage.script.on(TOKEN, answer(200, NEW), answer(400, INVALID_GRANT))
    stage.script.on(ACCOUNT, answer(200, {}))
    async with stage.client(token_store=store) as client:
        await client.get_account()
    assert store.tokens.refresh_token.get_secret_value() == "refresh-1"


@pytest.mark.parametrize("call", ["load", "begin"])
async def test_a_store_that_does_not_answer_spends_nothing(
    stage: Any, answer: Any, call: str
) -> None:
    store, began = OutOfReach(expired(), **{call: 1_000}), stage.time.now
    stage.script.on(TOKEN, answer(200, NEW), answer(400, INVALID_GRANT))
    stage.script.on(ACCOUNT, answer(200, {}))
    async with stage.client(token_store=store) as client:
        with pytest.raises(SignInOutOfReach):
            await client.get_account()
        assert 30 < stage.time.now - began <= 75
        assert stage.script.requests == []
        store.fails = {}
        await client.get_account()
    assert store.tokens.refresh_token.get_secret_value() == "refresh-1"


async def test_tokens_that_were_not_stored_are_stored_before_the_store_is_asked_for_any(
    stage: Any, answer: Any
) -> None:
    store = OutOfReach(expired(), save=1_000)
    stage.script.on(TOKEN, answer(200, NEW), answer(400, INVALID_GRANT))
    async with stage.client(token_store=store) as client:
        with pytest.raises(SignInUnavailable):
            await client.get_account()
        store.fails = {"load": 1_000, "save": 3}
        with pytest.raises(SignInOutOfReach):
            await client.get_account()
    assert store.tokens.refresh_token.get_secret_value() == "refresh-1"
    assert stage.script.count(TOKEN) == 1


async def test_a_renewal_that_has_begun_outlasts_the_window(stage: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("constant_contact._retry._LEAST_REQUEST_S", 0.01)

    async def slow(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/token"):
            await asyncio.sleep(0.1)
        return httpx.Response(200, json=NEW)

    stage.store.tokens = expired()
    slow_service = {"transport": httpx.MockTransport(slow), "deadline": stage.time.now}
    async with stage.client(**slow_service) as client:
        await client.get_account()
    assert stage.store.tokens.refresh_token.get_secret_value() == "refresh-1"


async def test_a_cancelled_save_is_not_tried_again(stage: Any, answer: Any) -> None:
    class Cancelled(MemoryTokenStore):
        async def save(self, _: Tokens) -> None:
            raise asyncio.CancelledError

    stage.script.on(TOKEN, answer(200, NEW))
    async with stage.client(token_store=Cancelled(expired())) as client:
        with pytest.raises(asyncio.CancelledError):
            await client.get_account()
    assert stage.time.slept == []


async def test_a_cancelled_refresh_still_ends_in_the_store(stage: Any) -> None:
    asked = asyncio.Event()

    async def slow(_: httpx.Request) -> httpx.Response:
        asked.set()
        await asyncio.sleep(0.01)
        return httpx.Response(200, json=NEW)

    stage.store.tokens = expired()
    async with stage.client(transport=httpx.MockTransport(slow)) as client:
        task = asyncio.create_task(client.get_account())
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert stage.store.tokens.refresh_token.get_secret_value() == "refresh-1"


async def test_many_tasks_refresh_once(stage: Any, answer: Any) -> None:
    stage.store.tokens = expired()
    stage.script.on(TOKEN, answer(200, NEW)).on(ACCOUNT, answer(200, {}))
    async with stage.client() as client:
        await asyncio.gather(*(client.get_account() for _ in range(5)))
    assert stage.script.count(TOKEN) == 1


async def test_two_clients_of_one_store_refresh_once(stage: Any, answer: Any) -> None:
    stage.store.tokens = expired()
    stage.script.on(TOKEN, answer(200, NEW), answer(400, INVALID_GRANT))
    stage.script.on(ACCOUNT, answer(200, {}))
    async with stage.client() as one, stage.client() as other:
        await asyncio.gather(one.get_account(), other.get_account())
    assert stage.script.count(TOKEN) == 1
    assert {bearer(r) for r in stage.script.requests if r.url.path.startswith("/v3/")} == {
        "access-1"
    }


async def test_a_refresh_is_skipped_when_somebody_else_did_it_meanwhile(
    stage: Any, answer: Any
) -> None:
    theirs = Tokens.of(access_token="access-9", refresh_token="refresh-9", expires_at=9e9)

    class Shared(MemoryTokenStore):
        @asynccontextmanager
        async def lock(self) -> AsyncIterator[None]:  # type: ignore[override] # as decorated
            self.tokens = theirs  # written while we waited for the lock
            yield

    stage.script.on(ACCOUNT, answer(200, {}))
    async with stage.client(token_store=Shared(expired())) as client:
        await client.get_account()
    assert bearer(stage.script.requests[0]) == "access-9"
    assert stage.script.count(TOKEN) == 0


async def test_a_401_refreshes_once_and_repeats_once(stage: Any, answer: Any) -> None:
    unauthorised = answer(401, {"error_key": "unauthorized", "error_message": "Unauthorized"})
    stage.script.on(ACCOUNT, unauthorised, answer(200, {})).on(TOKEN, answer(200, NEW))
    async with stage.client() as client:
        await client.get_account()
    assert [bearer(r) for r in stage.script.requests if r.url.path.startswith("/v3/")] == [
        "access-0",
        "access-1",
    ]
    assert client.request_counts.retried == 1


async def test_a_second_401_stops(stage: Any, answer: Any) -> None:
    stage.script.on(ACCOUNT, answer(401)).on(TOKEN, answer(200, NEW))
    async with stage.client() as client:
        with pytest.raises(NotAuthorised) as caught:
            await client.get_account()
    assert not isinstance(caught.value, SignInExpired)
    assert (stage.script.count(ACCOUNT), stage.script.count(TOKEN)) == (2, 1)


async def test_a_spent_refresh_token_means_connecting_again(stage: Any, answer: Any) -> None:
    stage.store.tokens = expired()
    stage.script.on(TOKEN, answer(400, INVALID_GRANT))
    async with stage.client() as client:
        with pytest.raises(SignInExpired, match="connect again") as caught:
            await client.get_account()
    assert stage.script.count(TOKEN) == 1
    assert "@" not in str(caught.value)


async def test_a_new_sign_in_made_meanwhile_is_used(stage: Any, answer: Any) -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        stage.store.tokens = expired("refresh-new")
        return httpx.Response(400, json=INVALID_GRANT)

    stage.store.tokens = expired()
    stage.script.on(TOKEN, refuse, answer(200, NEW)).on(ACCOUNT, answer(200, {}))
    async with stage.client() as client:
        await client.get_account()
    assert b"refresh-new" in stage.script.requests[1].content


async def test_a_sign_in_that_others_store_a_moment_later_is_used(stage: Any, answer: Any) -> None:
    class Slow(MemoryTokenStore):
        async def load(self) -> Tokens:
            if stage.time.slept:
                self.tokens = expired("refresh-theirs")
            return await super().load()

    stage.script.on(TOKEN, answer(400, INVALID_GRANT), answer(200, NEW))
    stage.script.on(ACCOUNT, answer(200, {}))
    async with stage.client(token_store=Slow(expired())) as client:
        await client.get_account()
    assert b"refresh-theirs" in stage.script.requests[1].content


class Replaced(MemoryTokenStore):
    """Somebody connects again while the old refresh token is exchanged."""

    theirs = Tokens.of(access_token="access-9", refresh_token="refresh-9", expires_at=9e9)

    async def save(self, _: Tokens) -> None:
        self.tokens = self.theirs
        raise SignInReplaced


async def test_tokens_of_an_old_sign_in_do_not_replace_those_of_a_new_one(
    stage: Any, answer: Any
) -> None:
    stage.script.on(TOKEN, answer(200, NEW)).on(ACCOUNT, answer(200, {}))
    async with stage.client(token_store=Replaced(expired())) as client:
        await client.get_account()
    assert stage.script.count(TOKEN) == 1
    assert bearer(stage.script.requests[1]) == "access-9"


class Noting(MemoryTokenStore):
    """Notes what it is told of the refresh token."""

    def __init__(self, tokens: Tokens) -> None:
        super().__init__(tokens)
        self.told: list[str] = []

    async def begin(self) -> None:
        self.told.append("begin")

    async def withdraw(self) -> None:
        self.told.append("withdraw")


@pytest.mark.parametrize(
    ("answers", "is_spent"),
    [
        ([(401, {"error": "invalid_client"})], False),
        ([(403, {"message": "Forbidden"})], False),
        ([(429, {"error_key": "throttled"})], False),
        ([httpx.ConnectError], False),
        ([httpx.ReadTimeout], True),
        ([(500, {})], True),
        ([(400, INVALID_GRANT)], True),
        ([httpx.ReadTimeout, (401, {"error": "invalid_client"})], True),
        ([(429, {"error_key": "throttled"}), httpx.ReadTimeout], True),
    ],
)
async def test_the_store_hears_when_the_refresh_token_was_surely_not_spent(
    stage: Any, answer: Any, fail: Any, answers: list[Any], is_spent: bool
) -> None:
    store = Noting(expired())
    stage.script.on(
        TOKEN, *(answer(*one) if isinstance(one, tuple) else fail(one) for one in answers)
    )
    async with stage.client(token_store=store) as client:
        with pytest.raises(ConstantContactError):
            await client.get_account()
    assert store.told == (["begin"] if is_spent else ["begin", "withdraw"])


async def test_a_sign_in_without_offline_access_says_so(stage: Any) -> None:
    stage.store.tokens = expired("")
    async with stage.client() as client:
        with pytest.raises(SignInExpired, match="offline_access"):
            await client.get_account()


async def test_other_failures_of_the_token_endpoint_are_repeated_within_bounds(
    stage: Any, answer: Any, fail: Any
) -> None:
    stage.store.tokens = expired()
    stage.script.on(
        TOKEN,
        answer(429, {"error_key": "throttled"}),
        fail(httpx.ReadTimeout),
        answer(200, text="<html>"),
        answer(400, text=""),
        answer(200, NEW),
    ).on(ACCOUNT, answer(200, {}))
    async with stage.client() as client:
        await client.get_account()
    assert stage.script.count(TOKEN) == 5

    stage.store.tokens = expired()
    stage.script.on(TOKEN, answer(500))
    async with stage.client() as client:
        with pytest.raises(SignInUnavailable):
            await client.get_account()


async def test_the_token_endpoint_is_asked_at_most_once_a_second(stage: Any) -> None:
    starts: list[float] = []

    def fault(_: httpx.Request) -> httpx.Response:
        starts.append(stage.time.now)
        return httpx.Response(500)

    stage.store.tokens = expired()
    stage.script.on(TOKEN, fault)
    async with stage.client() as client:
        with pytest.raises(SignInUnavailable):
            await client.get_account()
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert len(gaps) == 4
    assert min(gaps) >= 1.0


@pytest.mark.parametrize("body", [{"error": "invalid_client"}, {"message": "Unauthorized"}])
async def test_a_wrong_secret_is_not_tried_again(stage: Any, answer: Any, body: Any) -> None:
    stage.store.tokens = expired()
    stage.script.on(TOKEN, answer(401, body))
    async with stage.client() as client:
        with pytest.raises(NotAuthorised, match="API key"):
            await client.get_account()
    assert stage.script.count(TOKEN) == 1


async def test_a_sign_in_lost_with_its_answer_says_so(stage: Any, answer: Any, fail: Any) -> None:
    stage.store.tokens = expired()
    stage.script.on(TOKEN, fail(httpx.ReadTimeout), answer(400, INVALID_GRANT))
    async with stage.client() as client:
        with pytest.raises(SignInExpired, match=r"was lost.*connect again"):
            await client.get_account()


async def test_a_sign_in_service_that_drips_is_cut_off(stage: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("constant_contact._retry._REQUEST_S", 0.01)

    async def drip(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(30)
        raise AssertionError("not cut off")

    stage.store.tokens = expired()
    async with stage.client(transport=httpx.MockTransport(drip)) as client:
        with pytest.raises(SignInUnavailable, match="ApiUnreachable"):
            await client.get_account()


@pytest.mark.parametrize(
    ("found", "lifetime_s"),
    [({"expires_in": 28800}, 28500), ({"expires_in": "60"}, 54), ({}, 28500)],
)
def test_the_lifetime_is_honoured_with_a_margin(found: dict[str, Any], lifetime_s: float) -> None:
    tokens = Tokens.from_answer({"access_token": "a", **found}, now=1000)
    assert tokens.expires_at == 1000 + lifetime_s


def test_a_long_lived_refresh_token_stays_when_the_answer_leaves_it_out() -> None:
    tokens = Tokens.from_answer({"access_token": "a"}, now=0, previous=expired())
    assert tokens.refresh_token.get_secret_value() == "refresh-0"


@pytest.mark.parametrize("holder", [expired(), Credentials.of("key", "hush")])
def test_secrets_show_nowhere(holder: object) -> None:
    shown = f"{holder!r} {holder} {[holder]}"
    assert not any(secret in shown for secret in ("access-0", "refresh-0", "hush"))
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(holder)
