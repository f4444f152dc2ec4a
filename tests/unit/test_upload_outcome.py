"""What is known of a batch whose upload ended in a way that says nothing of it."""

from datetime import UTC, datetime
from typing import Any

import pytest

import tasks.batches
from pipeline import ContactBatch
from schemas.export import ExportRequest
from schemas.outcome import BatchState
from tasks.batches import _upload, describe_batch
from tasks.errors import UnknownConnection
from tasks.session import ExportSession, Handover

pytestmark = pytest.mark.anyio

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
    request = ExportRequest(connection="c", list_id="l", profiles="p", segments=("s",), email="e")
    session = ExportSession(request, Handover(), datetime.now(UTC), delivery="0" * 12)
    session.earlier_name = "gold"
    monkeypatch.setattr(tasks.batches, "_tell_progress", lambda _: None)
    session.batches[KEY], _ = describe_batch(session, BATCH)

    async def lose_connection(_: Any) -> None:
        if has_begun:
            session.begun.add(KEY)
        raise UnknownConnection("It is gone.")

    async def may_send(_: ExportSession) -> bool:
        return True

    monkeypatch.setattr(tasks.batches, "upload_batch", lose_connection)
    monkeypatch.setattr(tasks.batches, "_may_send", may_send)
    assert await _upload(session, BATCH) is None
    assert session.batches[KEY].state is state
    assert session.stop is not None
    assert session.stop.reason == "It is gone."
