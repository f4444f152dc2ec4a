"""One refresher at a time, each refusal understood, nothing secret shown."""

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
    Credentials,
    EventKind,
    MemoryTokenStore,
    NotAuthorised,
    SignInExpired,
    SignInUnavailable,
    Tokens,
)
from tests.unit.constant_contact.renewing import (
    ACCOUNT,
    INVALID_GRANT,
    KNOWN,
    NEW,
    TOKEN,
    bearer,
    expired,
)

pytestmark = pytest.mark.anyio


async def test_an_expired_token_is_refreshed_before_it_is_used(stage: Any, answer: Any) -> None:
    stage.store.tokens = expired()
    stage.script.on(TOKEN, answer(200, NEW)).on(ACCOUNT, answer(200, KNOWN))
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
    stage.script.on(TOKEN, answer(200, NEW)).on(ACCOUNT, answer(200, KNOWN))
    async with stage.client() as client:
        await client.get_account()
    form = parse_qs(stage.script.requests[0].content.decode())
    assert form["client_id"] == ["key"]
    assert "Authorization" not in stage.script.requests[0].headers


async def test_a_renewal_that_has_begun_outlasts_the_window(stage: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("constant_contact._retry._LEAST_REQUEST_S", 0.01)

    async def slow(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/token"):
            await asyncio.sleep(0.1)
        return httpx.Response(200, json=NEW | KNOWN)

    stage.store.tokens = expired()
    slow_service = {"transport": httpx.MockTransport(slow), "deadline": stage.time.now}
    async with stage.client(**slow_service) as client:
        await client.get_account()
    assert stage.store.tokens.refresh_token.get_secret_value() == "refresh-1"


async def test_many_tasks_refresh_once(stage: Any, answer: Any) -> None:
    stage.store.tokens = expired()
    stage.script.on(TOKEN, answer(200, NEW)).on(ACCOUNT, answer(200, KNOWN))
    async with stage.client() as client:
        await asyncio.gather(*(client.get_account() for _ in range(5)))
    assert stage.script.count(TOKEN) == 1


async def test_two_clients_of_one_store_refresh_once(stage: Any, answer: Any) -> None:
    stage.store.tokens = expired()
    stage.script.on(TOKEN, answer(200, NEW), answer(400, INVALID_GRANT))
    stage.script.on(ACCOUNT, answer(200, KNOWN))
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

    stage.script.on(ACCOUNT, answer(200, KNOWN))
    async with stage.client(token_store=Shared(expired())) as client:
        await client.get_account()
    assert bearer(stage.script.requests[0]) == "access-9"
    assert stage.script.count(TOKEN) == 0


async def test_a_401_refreshes_once_and_repeats_once(stage: Any, answer: Any) -> None:
    unauthorised = answer(401, {"error_key": "unauthorized", "error_message": "Unauthorized"})
    stage.script.on(ACCOUNT, unauthorised, answer(200, KNOWN)).on(TOKEN, answer(200, NEW))
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
    stage.script.on(TOKEN, refuse, answer(200, NEW)).on(ACCOUNT, answer(200, KNOWN))
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
    stage.script.on(ACCOUNT, answer(200, KNOWN))
    async with stage.client(token_store=Slow(expired())) as client:
        await client.get_account()
    assert b"refresh-theirs" in stage.script.requests[1].content


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
    ).on(ACCOUNT, answer(200, KNOWN))
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
