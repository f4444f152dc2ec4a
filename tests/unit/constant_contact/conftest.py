"""A clock that does not run, and a service that answers by script."""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from constant_contact import ApiEvent, ConstantContact, Credentials, MemoryTokenStore, Pacer, Tokens

START = 1_800_000_000.0


class FrozenTime:
    """Time passes only by sleeping."""

    def __init__(self) -> None:
        self.now = START
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, wait_s: float) -> None:
        self.slept.append(wait_s)
        self.now += wait_s
        await asyncio.sleep(0)


def answer(status: int = 200, body: Any = None, **kwargs: Any) -> Callable[..., httpx.Response]:
    """Make an answer that can be given any number of times."""

    def give(_: httpx.Request) -> httpx.Response:
        if body is None:
            return httpx.Response(status, **kwargs)
        return httpx.Response(status, content=json.dumps(body).encode(), **kwargs)

    return give


def fail(kind: type[httpx.RequestError]) -> Callable[[httpx.Request], httpx.Response]:
    """Make an exchange fail on the network."""

    def give(request: httpx.Request) -> httpx.Response:
        raise kind("nothing to see", request=request)

    return give


class Script:
    """Answer by method and path, in order; the last answer of a path stays."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self._answers: dict[str, deque[Callable[[httpx.Request], httpx.Response]]] = {}

    def on(self, key: str, *answers: Callable[[httpx.Request], httpx.Response]) -> "Script":
        self._answers[key] = deque(answers)
        return self

    def count(self, key: str) -> int:
        return sum(f"{r.method} {r.url.path}" == key for r in self.requests)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answers = self._answers[f"{request.method} {request.url.path}"]
        return (answers.popleft() if len(answers) > 1 else answers[0])(request)


class Stage:
    """A client, its script, its clock, and what it told its caller."""

    def __init__(self) -> None:
        self.time = FrozenTime()
        self.script = Script()
        self.events: list[ApiEvent] = []
        self.store = MemoryTokenStore(
            Tokens.of(access_token="access-0", refresh_token="refresh-0", expires_at=START + 3600)
        )
        self.credentials = Credentials.of("key", "hush")

    def client(self, *, transport: Any = None, **overrides: Any) -> ConstantContact:
        given: dict[str, Any] = {
            "credentials": self.credentials,
            "token_store": self.store,
            "limiter": Pacer(clock=self.time.clock, sleep=self.time.sleep),
            "token_limiter": Pacer(interval_s=1.1, clock=self.time.clock, sleep=self.time.sleep),
            "open_transport": lambda: transport or httpx.MockTransport(self.script),
            "on_event": self.events.append,
            "clock": self.time.clock,
            "sleep": self.time.sleep,
        }
        return ConstantContact(**given | overrides)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture(name="answer")
def answer_fixture() -> Callable[..., Callable[[httpx.Request], httpx.Response]]:
    return answer


@pytest.fixture(name="fail")
def fail_fixture() -> Callable[[type[httpx.RequestError]], Callable[..., httpx.Response]]:
    return fail
