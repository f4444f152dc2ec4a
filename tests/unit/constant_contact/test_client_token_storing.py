"""The new token is stored before it is used, and no newer sign-in is replaced."""

import asyncio
from typing import Any

import httpx
import pytest

from constant_contact import (
    ConstantContactError,
    EventKind,
    MemoryTokenStore,
    SignInOutOfReach,
    SignInReplaced,
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


async def test_the_new_token_is_stored_before_it_is_used(stage: Any, answer: Any) -> None:
    happened: list[str] = []

    class Watched(MemoryTokenStore):
        async def save(self, tokens: Tokens) -> None:
            await asyncio.sleep(0)
            happened.append(f"saved {tokens.refresh_token.get_secret_value()}")
            await super().save(tokens)

    def use(request: httpx.Request) -> httpx.Response:
        happened.append(f"used {bearer(request)}")
        return httpx.Response(200, json=KNOWN)

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
    stage.script.on(ACCOUNT, answer(200, KNOWN))
    deadline = None if window_s is None else stage.time.now + window_s
    async with stage.client(token_store=store, deadline=deadline) as client:
        await client.get_account()
    assert store.tokens.refresh_token.get_secret_value() == "refresh-1"
    assert [event.kind for event in stage.events] == [EventKind.REFRESH, EventKind.RETRY]


async def test_a_token_that_cannot_be_stored_is_not_used_nor_lost(stage: Any, answer: Any) -> None:
    store = Hiccuping(expired())
    store.fails = 1_000
    stage.script.on(TOKEN, answer(200, NEW), answer(400, INVALID_GRANT))
    stage.script.on(ACCOUNT, answer(200, KNOWN))
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
    stage.script.on(TOKEN, answer(200, NEW), answer(200, newer)).on(ACCOUNT, answer(200, KNOWN))
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
    stage.script.on(ACCOUNT, answer(200, KNOWN))
    async with stage.client(token_store=store) as client:
        await client.get_account()
    assert store.tokens.refresh_token.get_secret_value() == "refresh-1"


@pytest.mark.parametrize("call", ["load", "begin"])
async def test_a_store_that_does_not_answer_spends_nothing(
    stage: Any, answer: Any, call: str
) -> None:
    store, began = OutOfReach(expired(), **{call: 1_000}), stage.time.now
    stage.script.on(TOKEN, answer(200, NEW), answer(400, INVALID_GRANT))
    stage.script.on(ACCOUNT, answer(200, KNOWN))
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


class Replaced(MemoryTokenStore):
    """Somebody connects again while the old refresh token is exchanged."""

    theirs = Tokens.of(access_token="access-9", refresh_token="refresh-9", expires_at=9e9)

    async def save(self, _: Tokens) -> None:
        self.tokens = self.theirs
        raise SignInReplaced


async def test_tokens_of_an_old_sign_in_do_not_replace_those_of_a_new_one(
    stage: Any, answer: Any
) -> None:
    stage.script.on(TOKEN, answer(200, NEW)).on(ACCOUNT, answer(200, KNOWN))
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
