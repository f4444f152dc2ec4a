"""What is known of a request when the headers of its answer arrive and the body does not."""

import asyncio
import json
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from constant_contact import (
    ConstantContact,
    Credentials,
    MemoryTokenStore,
    NotFound,
    OutcomeUnknown,
    Pacer,
    RequestRefused,
    ServerFault,
    Tokens,
)

pytestmark = pytest.mark.anyio

LIMIT_S = 0.3
NAME = "gold.d1.1.ab.csv"
IMPORT = "POST /v3/activities/contacts_file_import"
ACTIVITIES = "GET /v3/activities"
LISTS = "GET /v3/contact_lists"
JOB = {"activity_id": "a1", "source_file_name": NAME, "state": "initialized"}

Give = Callable[[asyncio.StreamWriter], Awaitable[None]]


def head(status: int, *lines: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status} Said", *lines, "", ""]).encode()


def whole(status: int, content: Any) -> Give:
    async def give(writer: asyncio.StreamWriter) -> None:
        body = json.dumps(content).encode()
        writer.write(head(status, f"Content-Length: {len(body)}") + body)
        await writer.drain()

    return give


def reset(status: int) -> Give:
    async def give(writer: asyncio.StreamWriter) -> None:
        writer.write(head(status, "Content-Length: 100") + b'{"activity_id"')
        await writer.drain()
        await asyncio.sleep(0.05)  # until it has been read: a reset takes back what has not
        own: socket.socket = writer.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return give


def dripping(status: int) -> Give:
    async def give(writer: asyncio.StreamWriter) -> None:
        writer.write(head(status, "Content-Length: 100"))
        for _ in range(100):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(LIMIT_S / 5)

    return give


def garbled(status: int) -> Give:
    async def give(writer: asyncio.StreamWriter) -> None:
        body = json.dumps(JOB).encode()
        lines = ("Content-Encoding: gzip", f"Content-Length: {len(body)}")
        writer.write(head(status, *lines) + body)
        await writer.drain()

    return give


LOSSES = [reset, dripping, garbled]


class Service:
    """A service on loopback that answers by request, in order; the last answer stays."""

    def __init__(self, answers: dict[str, list[Give]]) -> None:
        self.answers = answers
        self.asked: Counter[str] = Counter()
        self.connections: list[asyncio.Task[Any]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            self.connections.append(task)
        try:
            while line := await reader.readline():
                method, target, _ = line.decode().split(" ", 2)
                headers = {}
                while (text := await reader.readline()).strip():
                    name, _, value = text.decode().partition(":")
                    headers[name.lower()] = value.strip()
                await reader.readexactly(int(headers.get("content-length", 0)))
                key = f"{method} {target.partition('?')[0]}"
                self.asked[key] += 1
                left = self.answers[key]
                await (left.pop(0) if len(left) > 1 else left[0])(writer)
        except OSError:  # the client has hung up
            pass
        finally:
            writer.close()


@asynccontextmanager
async def answering(**answers: list[Give]) -> AsyncGenerator[tuple[ConstantContact, Service], None]:
    """Run a service, and a client of it whose pauses take no time."""
    keys = {"posted": IMPORT, "activities": ACTIVITIES, "lists": LISTS, "one": f"{ACTIVITIES}/a1"}
    service = Service({keys[name]: given for name, given in answers.items()})
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    place = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    tokens = Tokens.of(access_token="t", refresh_token="r", expires_at=time.time() + 3_600)
    async with (
        server,
        ConstantContact(
            credentials=Credentials.of("key", "hush"),
            token_store=MemoryTokenStore(tokens),
            api_url=f"{place}/v3",
            auth_url=place,
            limiter=Pacer(interval_s=0.0),
            sleep=lambda _: asyncio.sleep(0),
        ) as client,
    ):
        yield client, service
    await asyncio.gather(*service.connections)


async def send(client: ConstantContact) -> Any:
    return await client.import_file(file_name=NAME, body=b"email\r\na@b.org\r\n", list_ids=["l1"])


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("constant_contact._retry._REQUEST_S", LIMIT_S)


@pytest.mark.parametrize("lose", LOSSES)
async def test_an_import_answered_201_is_not_sent_again_when_it_does_not_show(
    lose: Callable[[int], Give],
) -> None:
    nothing = whole(200, {"activities": []})
    async with answering(posted=[lose(201)], activities=[nothing]) as (client, service):
        with pytest.raises(OutcomeUnknown, match="looked up before it is sent") as caught:
            await send(client)
    assert getattr(caught.value.__cause__, "status", None) == 201
    assert service.asked == {IMPORT: 1, ACTIVITIES: 5}


@pytest.mark.parametrize("lose", LOSSES)
async def test_an_import_answered_201_is_found_when_it_shows(lose: Callable[[int], Give]) -> None:
    shown = [whole(200, {"activities": []}), whole(200, {"activities": [JOB]})]
    async with answering(posted=[lose(201)], activities=shown) as (client, service):
        receipt = await send(client)
    assert (receipt.activity.activity_id, receipt.reconciled) == ("a1", True)
    assert service.asked == {IMPORT: 1, ACTIVITIES: 2}


@pytest.mark.parametrize("lose", LOSSES)
async def test_an_import_answered_otherwise_is_looked_for_and_sent_again(
    lose: Callable[[int], Give],
) -> None:
    nothing = whole(200, {"activities": []})
    posted = [lose(200), lose(500), whole(201, JOB)]
    async with answering(posted=posted, activities=[nothing]) as (client, service):
        receipt = await send(client)
    assert (receipt.activity.activity_id, receipt.reconciled) == ("a1", False)
    assert service.asked == {IMPORT: 3, ACTIVITIES: 10}


@pytest.mark.parametrize("lose", LOSSES)
async def test_an_import_that_is_refused_is_not_looked_for(lose: Callable[[int], Give]) -> None:
    async with answering(posted=[lose(400)]) as (client, service):
        with pytest.raises(RequestRefused) as caught:
            await send(client)
    assert caught.value.status == 400
    assert service.asked == {IMPORT: 1}


@pytest.mark.parametrize("lose", LOSSES)
async def test_a_reading_is_asked_for_again(lose: Callable[[int], Give]) -> None:
    there = whole(200, {"lists": [{"list_id": "l1", "name": "One"}]})
    async with answering(lists=[lose(200), lose(200), there]) as (client, service):
        lists = await client.get_lists()
    assert [found.name for found in lists] == ["One"]
    assert service.asked == {LISTS: 3}


@pytest.mark.parametrize("lose", LOSSES)
@pytest.mark.parametrize(
    ("status", "kind", "requests"), [(404, NotFound, 1), (503, ServerFault, 6)]
)
async def test_a_refusal_of_a_reading_means_what_its_status_says(
    lose: Callable[[int], Give], status: int, kind: type[Exception], requests: int
) -> None:
    async with answering(one=[lose(status)]) as (client, service):
        with pytest.raises(kind) as caught:
            await client.get_activity("a1")
    assert getattr(caught.value, "status", None) == status
    assert service.asked == {f"{ACTIVITIES}/a1": requests}
