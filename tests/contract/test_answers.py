"""The client against the table of answers: every cell, over a real socket, in the client's time."""

import asyncio
import re
import ssl
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from constant_contact import (
    ActivityState,
    ConstantContact,
    ConstantContactError,
    Credentials,
    MemoryTokenStore,
    Pacer,
    Timeouts,
    Tokens,
    Trouble,
    wait_for_activities,
)
from sandbox import Box, ManualClock, SandboxSettings, running
from tests.contract.answer_scripts import (
    ANSWERS,
    READ_WITHIN_S,
    REQUESTS,
    WHOLE_REQUEST_S,
    Answer,
    Operation,
)
from tests.contract.answers import EMPTY, POLLS, TABLE, Meaning
from tests.contract.endings import MESSAGES, RUNS, STAGES

pytestmark = pytest.mark.anyio

TLS = ssl.create_default_context()  # making one takes longer than a whole test
WINDOW_S = 600.0
SHORT_WINDOW_S = 60.0
FORGOTTEN_S = 11 * 86_400.0  # activities of earlier tests are out of the way by then
FOR_EVER = 1_000_000
FIELD = "tier"
CSV = b"email\r\nann@example.com\r\n"

CELLS = [
    pytest.param(operation, name, meaning, id=f"{REQUESTS[operation]}-{operation.name}-{name}")
    for operation, meanings in TABLE.items()
    for name, meaning in meanings.items()
]
PASSING = [
    cell
    for cell in CELLS
    if cell.values[1] != "as promised" and not ANSWERS[str(cell.values[1])].is_refused_connection
]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def box(clock: ManualClock) -> Iterator[Box]:
    with running(SandboxSettings(initialized_s=0.5, processing_s=5), clock=clock) as box:
        box.add_custom_field(FIELD)
        yield box


@dataclass
class Bench:
    """One operation on a sandbox of which the answer is scripted."""

    box: Box
    clock: ManualClock
    operation: Operation
    answer: Answer
    activity_id: str = ""
    file_name: str = field(default_factory=lambda: f"gold.d1.1.{uuid.uuid4().hex}.csv")
    state: ActivityState = ActivityState.UNKNOWN
    trouble: Trouble | None = None

    def __post_init__(self) -> None:
        self.clock.advance(FORGOTTEN_S)
        is_polling = self.operation is Operation.POLL
        self.deadline = self.clock.utc_s() + (SHORT_WINDOW_S if is_polling else WINDOW_S)
        self.box.clear_script()
        self.app = self.box.add_client()
        self.limiter = Pacer(clock=self.clock.monotonic_s, sleep=self.sleep)
        self.list_id = self.box.add_list(self.file_name)

    def limit_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        if any(fault.kind == "slow_body" for fault in self.answer.faults):
            monkeypatch.setattr("constant_contact._retry._REQUEST_S", WHOLE_REQUEST_S)

    async def sleep(self, wait_s: float) -> None:
        self.clock.advance(wait_s)
        await asyncio.sleep(0)

    @asynccontextmanager
    async def client(self, *, is_troubled: bool = True) -> AsyncIterator[ConstantContact]:
        api_url, auth_url = self.box.api_url, self.box.auth_url
        token = self.box.access_token(client_id=self.app.client_id)
        if is_troubled and self.operation is Operation.TOKEN:
            token = ""
        if is_troubled and self.answer.is_refused_connection:
            nobody = "http://127.0.0.1:9"  # the port of the discard service, which nobody offers
            if self.operation is Operation.TOKEN:
                auth_url = nobody
            else:
                api_url = f"{nobody}/v3"
        is_late = any(fault.kind == "delay" for fault in self.answer.faults)
        async with ConstantContact(
            credentials=Credentials.of(self.app.client_id, self.app.client_secret),
            token_store=MemoryTokenStore(
                Tokens.of(
                    access_token=token,
                    refresh_token=self.app.refresh_token,
                    expires_at=self.clock.utc_s() + 86_000,
                )
            ),
            api_url=api_url,
            auth_url=auth_url,
            limiter=self.limiter,
            token_limiter=Pacer(interval_s=1.1, clock=self.clock.monotonic_s, sleep=self.sleep),
            open_transport=lambda: httpx.AsyncHTTPTransport(verify=TLS),
            deadline=self.deadline,
            timeouts=Timeouts(read_s=READ_WITHIN_S) if is_late and is_troubled else None,
            clock=self.clock.utc_s,
            sleep=self.sleep,
        ) as client:
            yield client

    async def prepare(self, *, repeat: int) -> None:
        """Have an import under way where the operation asks for one, and script the answer."""
        faults = self.answer.script(self.operation, repeat=repeat)
        self.box.script(*(fault for fault in faults if fault.kind == "outcome"))
        if self.operation in {Operation.JOURNAL, Operation.POLL, Operation.ACTIVITY}:
            async with self.client(is_troubled=False) as client:
                self.activity_id = await self.send(client)
            self.clock.advance(1.0)
        self.box.script(*(fault for fault in faults if fault.kind != "outcome"))
        self.requests_before = self.count_requests()

    async def carry_out(self) -> bool:  # noqa: PLR0911 -- one for each operation
        """Carry out the operation and tell whether it has brought what it is for."""
        async with self.client() as client:
            match self.operation:
                case Operation.TOKEN:
                    return bool((await client.get_account()).encoded_account_id)
                case Operation.LIST:
                    return (await client.resolve_list(self.list_id)).list_id == self.list_id
                case Operation.NUMBER:
                    number = self.box.state.sequence_id(self.list_id)
                    return (await client.resolve_list(number)).list_id == self.list_id
                case Operation.FIELDS:
                    return FIELD in {found.name for found in await client.get_custom_fields()}
                case Operation.JOURNAL:
                    names = [found.source_file_name async for found in client.iter_activities()]
                    return names == [self.file_name]
                case Operation.IMPORT:
                    return await self.send(client) in self.accepted
                case Operation.POLL:
                    return await self.poll(client)
                case Operation.ACTIVITY:
                    found = await client.get_activity(self.activity_id)
                    return found.source_file_name == self.file_name

    async def send(self, client: ConstantContact) -> str:
        receipt = await client.import_file(
            file_name=self.file_name, body=CSV, list_ids=[self.list_id]
        )
        return receipt.activity.activity_id

    async def poll(self, client: ConstantContact) -> bool:
        def note(trouble: Trouble | None) -> None:
            self.trouble = trouble

        known = await wait_for_activities(
            client,
            [self.activity_id],
            deadline=self.deadline,
            on_trouble=note,
            clock=self.clock.utc_s,
            sleep=self.sleep,
        )
        return known[self.activity_id].state is ActivityState.COMPLETED

    @property
    def accepted(self) -> list[str]:
        """The activities that import this file."""
        return [
            str(activity["activity_id"])
            for activity in self.box.state.activities()
            if activity.get("source_file_name") == self.file_name
        ]

    @property
    def requests(self) -> int:
        """The requests of the operation, without those of its preparation."""
        return self.count_requests() - self.requests_before

    def count_requests(self) -> int:
        return len(self.box.state.requests(REQUESTS[self.operation]))


def fits(message: str, pattern: str) -> bool:
    """Tell whether a message is the pattern's, … standing for what varies."""
    return re.fullmatch(re.escape(pattern).replace("…", ".*"), message) is not None


@pytest.mark.parametrize(("operation", "name", "meaning"), CELLS)
async def test_an_answer_that_stays_means_what_the_table_says(
    box: Box,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    operation: Operation,
    name: str,
    meaning: Meaning,
) -> None:
    bench = Bench(box, clock, operation, ANSWERS[name])
    bench.limit_time(monkeypatch)
    await bench.prepare(repeat=1 if meaning.comes_once else FOR_EVER)
    if meaning.error is None:
        has_it = await bench.carry_out()
        assert has_it is not (meaning.pends or meaning is EMPTY)
        said = bench.trouble.describe(clock.utc_s()) if bench.trouble else ""
    else:
        with pytest.raises(ConstantContactError) as caught:
            await bench.carry_out()
        assert type(caught.value) is meaning.error
        said = str(caught.value)
    assert fits(said, meaning.says), said
    assert bench.requests <= meaning.requests
    if operation is Operation.IMPORT:
        assert len(bench.accepted) == meaning.accepted
    if meaning.pends:
        assert bench.deadline - 31 < clock.utc_s() <= bench.deadline + 1


@pytest.mark.parametrize(("operation", "name", "meaning"), PASSING)
async def test_an_answer_that_comes_once_means_what_the_table_says(
    box: Box,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    operation: Operation,
    name: str,
    meaning: Meaning,
) -> None:
    bench = Bench(box, clock, operation, ANSWERS[name])
    bench.limit_time(monkeypatch)
    await bench.prepare(repeat=1)
    if meaning.passes:
        assert await bench.carry_out()
        accepted = 1
    elif meaning.error is None:
        assert not await bench.carry_out()
        accepted = 1
    else:
        with pytest.raises(meaning.error):
            await bench.carry_out()
        accepted = meaning.accepted
    assert bench.requests <= meaning.requests + (POLLS if operation is Operation.POLL else 1)
    if operation is Operation.IMPORT:
        assert len(bench.accepted) == accepted
        assert bench.requests == (2 if meaning.requests > 1 else 1)


@pytest.mark.parametrize("operation", Operation)
def test_an_operation_has_a_meaning_for_every_answer_that_it_may_get(operation: Operation) -> None:
    expected = {name for name, answer in ANSWERS.items() if operation in answer.operations}
    assert set(TABLE[operation]) == expected


def test_every_message_of_the_table_is_explained_and_no_other() -> None:
    said = {meaning.says for meanings in TABLE.values() for meaning in meanings.values()} - {""}
    assert [message.text for message in MESSAGES if message.text not in said] == []
    assert said == {message.text for message in MESSAGES}
    assert len(said) == len(MESSAGES)


def test_every_error_of_the_table_has_its_end_of_a_run() -> None:
    ends = {
        (meaning.error, stage)
        for operation, meanings in TABLE.items()
        for meaning in meanings.values()
        for stage in STAGES[operation]
        if meaning.error is not None
    }
    assert ends == set(RUNS)
