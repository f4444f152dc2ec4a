"""A batch is imported once, whatever becomes of the answer."""

import asyncio
from typing import Any

import httpx
import pytest

from constant_contact import (
    ApiUnreachable,
    ConstantContactError,
    EventKind,
    NotAuthorised,
    OutcomeUnknown,
    Patience,
    QuotaExceeded,
    RequestRefused,
    ServerFault,
    SignInExpired,
    WindowClosed,
)
from tests.unit.constant_contact.sending import (
    ACTIVITIES,
    IMPORT,
    NAME,
    job,
    jobs,
    raising,
    send,
)

pytestmark = pytest.mark.anyio

LOOKS = len(Patience().looks_after_s)


async def test_a_job_whose_answer_does_not_come_is_looked_for_meanwhile(stage: Any) -> None:
    lists: list[Any] = [[], [job(state="processing")]]

    async def answer_never(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            await asyncio.sleep(60)
        return httpx.Response(200, json={"activities": lists.pop(0)})

    impatient = Patience(silent_s=0.01, silent_looks_every_s=0.01)
    transport = httpx.MockTransport(answer_never)
    async with stage.client(transport=transport, patience=impatient) as client:
        receipt = await send(client)
    assert (receipt.activity.activity_id, receipt.reconciled) == ("a1", True)
    assert lists == []
    counts = client.request_counts
    assert (counts.uploads, counts.polls, counts.retried) == (1, 2, 0)


async def test_an_answer_that_comes_late_is_waited_for(stage: Any) -> None:
    looked = asyncio.Event()

    async def answer_late(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            await looked.wait()
            return httpx.Response(201, json=job())
        looked.set()
        return httpx.Response(503)

    impatient = Patience(silent_s=0.01, silent_looks_every_s=60)
    transport = httpx.MockTransport(answer_late)
    async with stage.client(transport=transport, patience=impatient) as client:
        receipt = await send(client)
    assert (receipt.activity.activity_id, receipt.reconciled) == ("a1", False)
    assert client.request_counts.uploads == 1


async def test_an_upload_is_waited_for_as_long_as_an_exchange_may_take(
    stage: Any, answer: Any
) -> None:
    stage.script.on(IMPORT, answer(201, job())).on(ACTIVITIES, jobs())
    async with stage.client() as client:
        await send(client)
        assert [one async for one in client.iter_activities()] == []
    waits = [request.extensions["timeout"]["read"] for request in stage.script.requests]
    assert waits == [180.0, 60.0]


async def test_nothing_is_sent_after_the_window(stage: Any) -> None:
    async with stage.client(deadline=stage.time.now) as client:
        with pytest.raises(WindowClosed):
            await send(client)
    assert stage.script.requests == []


AMBIGUOUS = {
    "time-out": lambda _: raising(httpx.ReadTimeout),
    "dropped": lambda _: raising(httpx.RemoteProtocolError),
    "cut while sending": lambda _: raising(httpx.WriteError),
    "500": lambda _: httpx.Response(500),
    "503 with HTML": lambda _: httpx.Response(503, text="<html>"),
    "200 with HTML": lambda _: httpx.Response(200, text="<html>"),
}


# What the service says to have made is not sent again, whether it can be found or not.
MADE = {
    "201 with HTML": lambda _: httpx.Response(201, text="<html>"),
    "201 with nothing": lambda _: httpx.Response(201),
    "201 without an id": lambda _: httpx.Response(201, json={"state": "initialized"}),
}


EITHER = AMBIGUOUS | MADE


@pytest.fixture(params=AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def lost(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=EITHER.values(), ids=EITHER.keys())
def useless(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize("made", MADE.values(), ids=MADE.keys())
async def test_what_the_service_has_made_is_not_sent_again_when_it_does_not_show(
    stage: Any, made: Any
) -> None:
    stage.script.on(IMPORT, made).on(ACTIVITIES, jobs())
    async with stage.client() as client:
        with pytest.raises(OutcomeUnknown, match="looked up"):
            await send(client)
    assert stage.script.count(IMPORT) == 1
    assert stage.script.count(ACTIVITIES) == LOOKS


class TestAfterALostAnswer:
    async def test_the_accepted_job_is_found_and_nothing_sent_again(
        self, stage: Any, useless: Any
    ) -> None:
        stage.script.on(IMPORT, useless).on(ACTIVITIES, jobs(job("b0", None), job("a1")))
        async with stage.client() as client:
            receipt = await send(client)
        assert receipt.activity.activity_id == "a1"
        assert receipt.reconciled
        assert stage.script.count(IMPORT) == 1
        assert [event.kind for event in stage.events] == [EventKind.RECONCILE]

    async def test_the_file_is_sent_again_when_it_was_not_accepted(
        self, stage: Any, answer: Any, lost: Any
    ) -> None:
        stage.script.on(IMPORT, lost, answer(201, job("a2"))).on(ACTIVITIES, jobs())
        async with stage.client() as client:
            receipt = await send(client)
        assert (receipt.activity.activity_id, receipt.reconciled) == ("a2", False)
        assert stage.script.count(ACTIVITIES) == LOOKS
        assert client.request_counts.uploads == 2
        assert client.request_counts.retried == 1

    async def test_a_job_that_shows_late_is_waited_for(self, stage: Any, useless: Any) -> None:
        stage.script.on(IMPORT, useless)
        stage.script.on(ACTIVITIES, *[jobs()] * (LOOKS - 1), jobs(job("a1")))
        async with stage.client() as client:
            receipt = await send(client)
        assert receipt.activity.activity_id == "a1"
        assert stage.script.count(IMPORT) == 1

    async def test_the_job_is_found_on_a_later_page(self, stage: Any, useless: Any) -> None:
        first = {
            "activities": [job("b1", "other.csv")],
            "_links": {"next": {"href": "/v3/activities?cursor=2"}},
        }
        stage.script.on(IMPORT, useless)
        stage.script.on(ACTIVITIES, lambda _: httpx.Response(200, json=first), jobs(job("a1")))
        async with stage.client() as client:
            receipt = await send(client)
        assert receipt.activity.activity_id == "a1"

    async def test_other_peoples_and_failed_and_known_jobs_do_not_count(
        self, stage: Any, answer: Any, lost: Any
    ) -> None:
        stage.script.on(IMPORT, lost, answer(201, job("a2"))).on(
            ACTIVITIES,
            jobs(
                job("b0", "other.csv"),
                job("b1", None),
                job("b2", NAME.upper()),
                job("a0", state="completed"),  # of an earlier delivery, asked for once more
                job("a1", state="failed"),
            ),
        )
        async with stage.client() as client:
            receipt = await send(client, known_ids=["a0"])
        assert receipt.activity.activity_id == "a2"
        assert stage.script.count(IMPORT) == 2

    async def test_a_job_of_the_first_try_answers_for_the_second(
        self, stage: Any, lost: Any
    ) -> None:
        stage.script.on(IMPORT, lost).on(ACTIVITIES, *[jobs()] * LOOKS, jobs(job("a1")))
        async with stage.client() as client:
            receipt = await send(client)
        assert receipt.activity.activity_id == "a1"
        assert stage.script.count(IMPORT) == 2

    async def test_it_is_not_sent_for_ever(self, stage: Any, lost: Any) -> None:
        stage.script.on(IMPORT, lost).on(ACTIVITIES, jobs())
        async with stage.client() as client:
            with pytest.raises(Exception, match=r"run again|API address"):
                await send(client)
        assert stage.script.count(IMPORT) == 5

    async def test_it_is_not_sent_again_when_nobody_can_say_what_became_of_it(
        self, stage: Any, answer: Any, useless: Any
    ) -> None:
        stage.script.on(IMPORT, useless).on(ACTIVITIES, answer(500))
        async with stage.client() as client:
            with pytest.raises(OutcomeUnknown, match="looked up"):
                await send(client)
        assert stage.script.count(IMPORT) == 1

    @pytest.mark.parametrize(
        "refusal",
        [
            (400, {"error_key": "x"}),
            (403, {"error_key": "access_denied"}),
            (404, []),
            (200, []),
        ],
        ids=["refused", "denied", "not found", "malformed"],
    )
    async def test_whatever_keeps_the_activities_from_being_read_leaves_the_outcome_open(
        self, stage: Any, answer: Any, refusal: Any
    ) -> None:
        stage.script.on(IMPORT, lambda _: httpx.Response(500)).on(ACTIVITIES, answer(*refusal))
        async with stage.client() as client:
            with pytest.raises(OutcomeUnknown) as caught:
                await send(client)
        assert isinstance(caught.value.__cause__, ConstantContactError)
        assert stage.script.count(IMPORT) == 1

    async def test_faults_that_pass_while_looking_leave_time_to_find_it(
        self, stage: Any, useless: Any, answer: Any
    ) -> None:
        stage.script.on(IMPORT, useless)
        stage.script.on(ACTIVITIES, *[answer(503)] * 14, answer(200, []), jobs(job("a1")))
        async with stage.client() as client:
            receipt = await send(client)
        assert receipt.activity.activity_id == "a1"
        assert stage.script.count(IMPORT) == 1

    async def test_a_sign_in_that_ends_meanwhile_stops(
        self, stage: Any, answer: Any, useless: Any
    ) -> None:
        stage.script.on(IMPORT, useless).on(ACTIVITIES, answer(401))
        stage.script.on("POST /oauth2/default/v1/token", answer(400, {"error": "invalid_grant"}))
        async with stage.client() as client:
            with pytest.raises(OutcomeUnknown, match=r"connect again.*is not known") as caught:
                await send(client)
        assert isinstance(caught.value.__cause__, SignInExpired)
        assert not caught.value.lacks_quota
        assert stage.script.count(IMPORT) == 1

    async def test_looking_does_not_pass_the_window(self, stage: Any, useless: Any) -> None:
        stage.script.on(IMPORT, useless).on(ACTIVITIES, jobs())
        deadline = stage.time.now + 4
        async with stage.client(deadline=deadline) as client:
            with pytest.raises(OutcomeUnknown) as caught:
                await send(client)
        assert isinstance(caught.value.__cause__, WindowClosed)
        assert stage.time.now < deadline
        assert stage.script.count(IMPORT) == 1

    async def test_a_quota_that_ends_meanwhile_stops(
        self, stage: Any, answer: Any, useless: Any
    ) -> None:
        stage.script.on(IMPORT, useless)
        stage.script.on(ACTIVITIES, answer(429, {"error_key": "quota_exceeded"}))
        async with stage.client() as client:
            with pytest.raises(OutcomeUnknown, match=r"00:00 UTC.*is not known") as caught:
                await send(client)
        assert isinstance(caught.value.__cause__, QuotaExceeded)
        assert caught.value.lacks_quota
        assert stage.script.count(IMPORT) == 1


async def test_what_was_certainly_not_accepted_is_sent_again_without_looking(
    stage: Any, answer: Any, fail: Any
) -> None:
    stage.script.on(
        IMPORT,
        fail(httpx.ConnectError),
        answer(429, {"error_key": "throttled"}),
        fail(httpx.ConnectTimeout),
        answer(201, job()),
    )
    async with stage.client() as client:
        receipt = await send(client)
    assert receipt.activity.activity_id == "a1"
    assert stage.script.count(ACTIVITIES) == 0
    assert client.request_counts.throttled == 1


async def test_a_refused_token_is_renewed_and_the_file_sent_once_more(
    stage: Any, answer: Any
) -> None:
    stage.script.on(IMPORT, answer(401), answer(201, job()))
    stage.script.on("POST /oauth2/default/v1/token", answer(200, {"access_token": "access-1"}))
    async with stage.client() as client:
        await send(client)
    first, _, second = stage.script.requests
    assert second.content != b""
    assert first.headers["Content-Length"] == second.headers["Content-Length"]


async def test_a_sign_in_service_that_fails_sends_nothing(stage: Any, answer: Any) -> None:
    stage.store.tokens = type(stage.store.tokens).of(refresh_token="refresh-0")
    stage.script.on("POST /oauth2/default/v1/token", answer(500))
    async with stage.client() as client:
        with pytest.raises(Exception, match="sign-in service"):
            await send(client)
    assert stage.script.count(IMPORT) == 0


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, RequestRefused), (404, RequestRefused), (413, RequestRefused), (415, RequestRefused)],
)
async def test_a_refusal_is_final(stage: Any, answer: Any, status: int, kind: Any) -> None:
    stage.script.on(IMPORT, answer(status, [{"error_key": "x", "error_message": "ann@x.org"}]))
    async with stage.client() as client:
        with pytest.raises(kind) as caught:
            await send(client)
    assert caught.value.status == status
    assert len(stage.script.requests) == 1


async def test_a_used_up_quota_stops_the_import_at_once(stage: Any, answer: Any) -> None:
    stage.script.on(IMPORT, answer(429, {"error_key": "quota_exceeded"}))
    async with stage.client() as client:
        with pytest.raises(QuotaExceeded):
            await send(client)
    assert len(stage.script.requests) == 1


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ([lambda _: httpx.Response(401)], NotAuthorised),
        ([lambda _: httpx.Response(500)], ServerFault),
        ([lambda _: raising(httpx.ConnectError)], ApiUnreachable),
    ],
)
async def test_what_stays_wrong_is_raised_as_what_it_is(
    stage: Any, answer: Any, answers: list[Any], kind: Any
) -> None:
    stage.script.on(IMPORT, *answers).on(ACTIVITIES, jobs())
    stage.script.on("POST /oauth2/default/v1/token", answer(200, {"access_token": "access-1"}))
    async with stage.client() as client:
        with pytest.raises(kind):
            await send(client)


async def test_of_several_jobs_the_completed_one_answers(stage: Any) -> None:
    stage.script.on(
        ACTIVITIES,
        jobs(job("a0", state="failed"), job("a1"), job("a2", state="completed")),
        jobs(job("a0", state="failed"), job("a1", state="paused")),
    )
    stage.script.on(IMPORT, lambda _: httpx.Response(500))
    async with stage.client() as client:
        found = [(await send(client)).activity.activity_id for _ in range(2)]
    assert found == ["a2", "a1"]
