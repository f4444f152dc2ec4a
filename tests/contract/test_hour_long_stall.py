"""A service that stands still for an hour: the run ends at its window's end, and goes on later."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from constant_contact import (
    Activity,
    ActivityState,
    ActivityWatch,
    ConstantContact,
    Credentials,
    MemoryTokenStore,
    Pacer,
    Tokens,
)
from sandbox import Box, Fault, ManualClock, SandboxSettings, running

pytestmark = pytest.mark.anyio

HOUR_S = 3_600.0
MOST_REQUESTS = 150
FOR_EVER = 1_000_000
OUTAGES = {
    "connections are dropped": {"kind": "drop"},
    "503": {"kind": "status", "status": 503},
    "a proxy's page": {"kind": "status", "status": 200, "body": "<html>"},
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Stage:
    """A sandbox and clients that live by one clock, which moves when a client sleeps."""

    box: Box
    clock: ManualClock
    store: MemoryTokenStore
    list_id: str

    async def sleep(self, wait_s: float) -> None:
        self.clock.advance(wait_s)
        await asyncio.sleep(0)

    def open_client(self, deadline: float) -> ConstantContact:
        return ConstantContact(
            credentials=Credentials.of(self.box.client_id, self.box.client_secret),
            token_store=self.store,
            api_url=self.box.api_url,
            auth_url=self.box.auth_url,
            limiter=Pacer(clock=self.clock.monotonic_s, sleep=self.sleep),
            token_limiter=Pacer(interval_s=1.1, clock=self.clock.monotonic_s, sleep=self.sleep),
            deadline=deadline,
            clock=self.clock.utc_s,
            sleep=self.sleep,
        )

    async def send(self, client: ConstantContact, number: int) -> Activity:
        receipt = await client.import_file(
            file_name=f"spring.d1.{number}.abc.csv",
            body=f"email\r\nperson{number}@example.com\r\n".encode(),
            list_ids=[self.list_id],
        )
        return receipt.activity

    async def watch(
        self, client: ConstantContact, deadline: float, *activities: Activity
    ) -> ActivityWatch:
        watching = ActivityWatch(
            client, deadline=deadline, clock=self.clock.utc_s, sleep=self.sleep
        )
        for activity in activities:
            watching.add(activity)
        watching.close()
        await watching.run()
        return watching


@pytest.fixture
def stage() -> Iterator[Stage]:
    clock = ManualClock()
    with running(SandboxSettings(), clock=clock) as box:
        store = MemoryTokenStore(Tokens.of(refresh_token=box.refresh_token))
        yield Stage(box, clock, store, box.add_list("Spring campaign"))


async def test_imports_that_stand_still_are_told_at_the_deadline_and_finish_later(
    stage: Stage,
) -> None:
    stage.box.script(Fault("file_import", "duration", occurrence=2, seconds=2 * HOUR_S))
    deadline = stage.clock.utc_s() + HOUR_S
    async with stage.open_client(deadline) as client:
        done = await stage.send(client, 1)
        stuck = await stage.send(client, 2)
        watching = await stage.watch(client, deadline, done, stuck)
        assert 0 <= stage.clock.utc_s() - deadline < 1
        assert client.request_counts.total < MOST_REQUESTS
    assert watching.unfinished == {stuck.activity_id}
    assert watching.known[done.activity_id].state is ActivityState.COMPLETED
    assert watching.known[stuck.activity_id].state is ActivityState.PROCESSING
    assert watching.known[stuck.activity_id].percent_done == pytest.approx(50, abs=2)
    later = deadline + 2 * HOUR_S
    async with stage.open_client(later) as client:
        watching = await stage.watch(client, later, *watching.known.values())
        assert stage.clock.utc_s() < deadline + HOUR_S + 60
        assert client.request_counts.uploads == 0
        assert client.request_counts.total < MOST_REQUESTS
    assert not watching.unfinished
    assert set(stage.box.state.members(stage.list_id)) == {
        "person1@example.com",
        "person2@example.com",
    }


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES.keys())
async def test_an_hour_without_answers_ends_at_the_deadline_and_goes_on_later(
    stage: Stage, outage: dict[str, object]
) -> None:
    deadline = stage.clock.utc_s() + HOUR_S
    async with stage.open_client(deadline) as client:
        done = await stage.send(client, 1)
        await stage.watch(client, deadline, done)
        seen = await client.get_activity(done.activity_id)
        sent = await stage.send(client, 2)
        before = client.request_counts.total
        for operation in ("activities", "activity", "token"):
            stage.box.script(Fault(operation, repeat=FOR_EVER, **outage))
        watching = await stage.watch(client, deadline, seen, sent)
        assert 0 <= stage.clock.utc_s() - deadline < 1
        assert client.request_counts.total - before < MOST_REQUESTS
    assert watching.known == {seen.activity_id: seen, sent.activity_id: sent}
    assert watching.unfinished == {sent.activity_id}
    stage.box.clear_script()
    later = deadline + HOUR_S
    async with stage.open_client(later) as client:
        watching = await stage.watch(client, later, *watching.known.values())
        assert stage.clock.utc_s() < deadline + 10
        assert client.request_counts.uploads == 0
    assert watching.known[sent.activity_id].state is ActivityState.COMPLETED
    assert len(stage.box.state.members(stage.list_id)) == 2
