"""A file that has to wait: for a full queue, or because whoever sends it may have to stop."""

from typing import Any

import httpx
import pytest

from constant_contact import (
    EventKind,
    MaySend,
    OutcomeUnknown,
    SendingStopped,
    ServerFault,
    WindowClosed,
)
from tests.unit.constant_contact.sending import ACTIVITIES, IMPORT, job, jobs, raising, saying, send

pytestmark = pytest.mark.anyio


class TestFullQueue:
    FULL = (429, [{"error_key": "too_many_activities"}])

    async def test_it_is_drained_by_polling(self, stage: Any, answer: Any) -> None:
        full = [job(f"b{n}", "other.csv") for n in range(1000)]
        stage.script.on(IMPORT, answer(*self.FULL), answer(201, job()))
        stage.script.on(ACTIVITIES, jobs(*full), jobs(*full), jobs(*full[1:]))
        async with stage.client() as client:
            receipt = await send(client)
        assert receipt.activity.activity_id == "a1"
        assert stage.script.count(IMPORT) == 2
        assert stage.script.count(ACTIVITIES) == 3
        assert EventKind.QUEUE_FULL in {event.kind for event in stage.events}

    async def test_faults_while_polling_do_not_count_against_the_batch(
        self, stage: Any, answer: Any
    ) -> None:
        stage.script.on(IMPORT, *[answer(*self.FULL)] * 8, answer(201, job()))
        stage.script.on(ACTIVITIES, answer(500))
        async with stage.client() as client:
            receipt = await send(client)
        assert receipt.activity.activity_id == "a1"

    async def test_a_long_wait_for_it_leaves_the_time_for_faults_whole(
        self, stage: Any, answer: Any
    ) -> None:
        full = [job(f"b{n}", "other.csv") for n in range(1000)]
        stage.script.on(
            IMPORT, answer(*self.FULL), lambda _: raising(httpx.ConnectError), answer(201, job())
        )
        stage.script.on(ACTIVITIES, *[jobs(*full)] * 60, jobs())
        began = stage.time.now
        async with stage.client() as client:
            receipt = await send(client)
        assert receipt.activity.activity_id == "a1"
        assert stage.time.now - began > 900

    async def test_a_job_that_somebody_else_has_sent_meanwhile_is_not_sent_again(
        self, stage: Any, answer: Any
    ) -> None:
        full = [job(f"b{n}", "other.csv") for n in range(1000)]
        stage.script.on(IMPORT, answer(*self.FULL))
        stage.script.on(ACTIVITIES, jobs(*full), jobs(*full[1:], job("a1")))
        async with stage.client() as client:
            receipt = await send(client)
        assert (receipt.activity.activity_id, receipt.reconciled) == ("a1", True)
        assert stage.script.count(IMPORT) == 1

    async def test_it_is_not_waited_for_by_a_caller_who_is_to_stop(
        self, stage: Any, answer: Any
    ) -> None:
        full = [job(f"b{n}", "other.csv") for n in range(1000)]
        stage.script.on(IMPORT, answer(*self.FULL)).on(ACTIVITIES, jobs(*full))
        asked = saying(MaySend.YES, MaySend.YES, MaySend.NO)
        async with stage.client() as client:
            with pytest.raises(SendingStopped):
                await send(client, may_send=asked)
        assert stage.script.count(IMPORT) == 1
        assert stage.script.count(ACTIVITIES) == 1

    async def test_it_is_waited_for_until_the_window_ends(self, stage: Any, answer: Any) -> None:
        full = [job(f"b{n}", "other.csv") for n in range(1000)]
        stage.script.on(IMPORT, answer(*self.FULL)).on(ACTIVITIES, jobs(*full))
        deadline = stage.time.now + 600
        async with stage.client(deadline=deadline) as client:
            with pytest.raises(WindowClosed):
                await send(client)
        assert deadline - 60 < stage.time.now < deadline
        assert stage.script.count(IMPORT) == 1


WAITS = {
    "a full queue": lambda _: httpx.Response(429, json=[{"error_key": "too_many_activities"}]),
    "throttled": lambda _: httpx.Response(429, json={"error_key": "throttled"}),
    "503": lambda _: httpx.Response(503),
    "unreachable": lambda _: raising(httpx.ConnectError),
}


class TestWhoeverMayHaveToStop:
    @pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
    async def test_is_asked_before_each_sending(self, stage: Any, wait: Any) -> None:
        stage.script.on(IMPORT, wait).on(ACTIVITIES, jobs())
        async with stage.client() as client:
            with pytest.raises(SendingStopped):
                await send(client, may_send=saying(MaySend.YES, MaySend.NO))
        assert stage.script.count(IMPORT) == 1
        assert client.request_counts.retried == 0

    async def test_is_sent_nothing_where_it_has_stopped_already(self, stage: Any) -> None:
        async with stage.client() as client:
            with pytest.raises(SendingStopped):
                await send(client, may_send=saying(MaySend.NO))
        assert stage.script.requests == []

    @pytest.mark.parametrize(
        ("entries", "uploads"), [([job("a1")], 0), ([job("a1", state="failed")], 1), ([], 1)]
    )
    async def test_has_the_file_looked_for_where_another_may_have_sent_it(
        self, stage: Any, answer: Any, entries: list[Any], uploads: int
    ) -> None:
        stage.script.on(IMPORT, answer(201, job("a2"))).on(ACTIVITIES, jobs(*entries))
        async with stage.client() as client:
            receipt = await send(client, may_send=saying(MaySend.UNLESS_FOUND))
        assert receipt.activity.activity_id == ("a2" if uploads else "a1")
        assert receipt.reconciled is not bool(uploads)
        assert stage.script.count(IMPORT) == uploads
        assert stage.script.count(ACTIVITIES) == 1

    @pytest.mark.parametrize(("status", "kind"), [(500, ServerFault), (400, OutcomeUnknown)])
    async def test_has_nothing_sent_where_it_cannot_be_looked_for(
        self, stage: Any, answer: Any, status: int, kind: Any
    ) -> None:
        stage.script.on(ACTIVITIES, answer(status))
        async with stage.client() as client:
            with pytest.raises(kind):
                await send(client, may_send=saying(MaySend.UNLESS_FOUND))
        assert stage.script.count(IMPORT) == 0
