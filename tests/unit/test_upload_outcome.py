"""What keeps a batch from being sent, and what is known of one whose upload says nothing of it."""

from datetime import UTC, datetime
from typing import Any

import pytest

import tasks.batches
from constant_contact import MaySend
from pipeline import ContactBatch
from schemas.export import ExportRequest
from schemas.outcome import BatchState
from tasks.batches import LEASE_LOOKS, _may_send, _upload, describe_batch
from tasks.errors import UnknownConnection
from tasks.journal import TAKEN_OVER
from tasks.leases import Lease
from tasks.session import ExportSession, Handover

pytestmark = pytest.mark.anyio

REQUEST = ExportRequest(connection="c", list_id="l", profiles="p", segments=("s",), email="e")
BATCH = ContactBatch(number=1, first=0, rows=10, body=b"", digest="a" * 12)
KEY = (1, 0)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize(
    ("has_begun", "state"), [(True, BatchState.UNKNOWN), (False, BatchState.NOT_SENT)]
)
async def test_batch_on_its_way_is_not_known_to_have_arrived_when_its_connection_is_taken_away(
    monkeypatch: pytest.MonkeyPatch, has_begun: bool, state: BatchState
) -> None:
    session = ExportSession(REQUEST, Handover(), datetime.now(UTC), delivery="0" * 12)
    session.earlier_name = "gold"
    monkeypatch.setattr(tasks.batches, "_tell_progress", lambda _: None)
    session.batches[KEY], _ = describe_batch(session, BATCH)

    async def lose_connection(_: Any) -> None:
        if has_begun:
            session.begun.add(KEY)
        raise UnknownConnection("It is gone.")

    monkeypatch.setattr(tasks.batches, "upload_batch", lose_connection)
    assert await _upload(session, BATCH) is None
    assert session.batches[KEY].state is state
    assert session.stop is not None
    assert session.stop.reason == "It is gone."


class Sleeper:
    """A machine that has just stood still: a second of sleep is a look at the lease."""

    def __init__(self) -> None:
        self.now = 100.0
        self.lease = Lease(expires_s=45.0, clock=lambda: self.now)
        self.lease.variable_id = "held"
        self.looks = 0
        self.session = ExportSession(REQUEST, Handover(sleep=self.sleep), datetime.now(UTC))
        self.session.lease = self.lease
        self.now += 60.0

    async def sleep(self, _wait_s: float) -> None:
        self.looks += 1


async def test_batch_goes_where_the_lease_is_sure_or_needs_none() -> None:
    machine = Sleeper()
    machine.lease.renewed_at = machine.now
    assert await _may_send(machine.session) is MaySend.YES
    machine.session.lease = None
    assert await _may_send(machine.session) is MaySend.YES
    assert machine.looks == 0


async def test_batch_is_looked_for_where_nobody_can_say_who_has_the_lease() -> None:
    machine = Sleeper()
    assert await _may_send(machine.session) is MaySend.UNLESS_FOUND
    assert machine.looks == LEASE_LOOKS


@pytest.mark.parametrize("why", ["never held", "contested"])
async def test_batch_is_looked_for_at_once_where_another_may_be_at_work(why: str) -> None:
    machine = Sleeper()
    machine.lease.renewed_at = machine.now
    if why == "contested":
        machine.lease.is_contested = True
    else:
        machine.lease.variable_id = None
    assert await _may_send(machine.session) is MaySend.UNLESS_FOUND
    assert machine.looks == 0


async def test_batch_stays_where_another_machine_has_taken_over() -> None:
    machine = Sleeper()
    machine.session.stop = TAKEN_OVER
    assert await _may_send(machine.session) is MaySend.NO
    assert machine.looks == 0
