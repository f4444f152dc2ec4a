"""Safe requests are repeated within bounds, pages followed within the API, all of it counted."""

import asyncio
import logging
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import httpx
import pytest

from constant_contact import (
    ApiUnreachable,
    EventKind,
    MalformedAnswer,
    NotFound,
    QuotaExceeded,
    RequestRefused,
    RetryPolicy,
    ServerFault,
    Throttled,
    WindowClosed,
)

pytestmark = pytest.mark.anyio

LISTS = "GET /v3/contact_lists"
THROTTLED = {"error_key": "throttled", "error_message": "Too Many Requests"}
ONE_LIST = {"lists": [{"list_id": "l1", "name": "One", "membership_count": 3}]}


async def test_answer_that_is_of_no_use_is_not_told_as_a_good_one(stage: Any, answer: Any) -> None:
    stage.script.on(LISTS, lambda _: httpx.Response(200, text="<html>"), answer(200, ONE_LIST))
    async with stage.client() as client:
        await client.get_lists()
    assert [event.reason for event in stage.events] == [
        "Constant Contact's answers could not be read"
    ]


@pytest.mark.parametrize("failure", [httpx.ConnectError, httpx.ReadTimeout, httpx.ReadError])
async def test_a_get_is_repeated_when_the_network_fails(
    stage: Any, answer: Any, fail: Any, failure: type[httpx.TransportError]
) -> None:
    stage.script.on(LISTS, fail(failure), answer(503), answer(200, ONE_LIST))
    async with stage.client() as client:
        lists = await client.get_lists()
    assert [found.name for found in lists] == ["One"]
    counts = client.request_counts
    assert (counts.total, counts.retried, counts.throttled) == (3, 2, 0)
    assert [event.kind for event in stage.events] == [EventKind.RETRY] * 2
    assert [event.reason for event in stage.events] == [
        "Constant Contact did not answer",
        "Constant Contact answered 503",
    ]


async def test_a_get_is_given_up_after_its_attempts(stage: Any, answer: Any) -> None:
    stage.script.on(LISTS, answer(500))
    async with stage.client(policy=RetryPolicy(attempts=4)) as client:
        with pytest.raises(ServerFault):
            await client.get_lists()
    assert len(stage.script.requests) == 4


async def test_a_get_is_given_up_after_its_seconds(stage: Any, answer: Any) -> None:
    stage.script.on(LISTS, answer(500))
    policy = RetryPolicy(attempts=1000, total_s=60, longest_wait_s=10)
    began = stage.time.now
    async with stage.client(policy=policy) as client:
        with pytest.raises(ServerFault):
            await client.get_lists()
    assert 30 < stage.time.now - began <= 60


async def test_throttled_is_waited_out_a_second_or_more(stage: Any, answer: Any) -> None:
    stage.script.on(LISTS, *[answer(429, THROTTLED)] * 20, answer(200, ONE_LIST))
    async with stage.client() as client:
        await client.get_lists()
    counts = client.request_counts
    assert (counts.total, counts.throttled, counts.retried) == (21, 20, 20)
    waits = [e.wait_s for e in stage.events if e.kind is EventKind.THROTTLED]
    assert len(waits) == 20
    assert min(waits) >= 1.0


async def test_throttling_without_end_ends_in_throttled(stage: Any, answer: Any) -> None:
    stage.script.on(LISTS, answer(429, THROTTLED))
    async with stage.client(policy=RetryPolicy(waiting_total_s=60)) as client:
        with pytest.raises(Throttled):
            await client.get_lists()


async def test_a_used_up_quota_stops_at_once(stage: Any, answer: Any) -> None:
    stage.script.on(LISTS, answer(429, {"error_key": "quota_exceeded"}))
    async with stage.client() as client:
        with pytest.raises(QuotaExceeded):
            await client.get_lists()
    assert len(stage.script.requests) == 1


async def test_after_a_used_up_quota_nothing_more_is_sent(stage: Any, answer: Any) -> None:
    stage.script.on(LISTS, answer(429, {"error_key": "quota_exceeded"}))
    stage.script.on("GET /v3/account/summary", answer(503), answer(200, {}))
    async with stage.client() as client:
        # The first sleeps before its repeat when the quota ends.
        ended = await asyncio.gather(
            client.get_account(),
            *(client.get_lists() for _ in range(3)),
            client.import_file(file_name="x.csv", body=b"", list_ids=["l1"]),
            return_exceptions=True,
        )
        with pytest.raises(QuotaExceeded, match="00:00 UTC"):
            await client.get_lists()
    assert [type(error) for error in ended] == [QuotaExceeded] * 5
    assert stage.script.count(LISTS) == 1
    assert len(stage.script.requests) == client.request_counts.total == 2


async def test_who_stands_in_line_when_the_quota_ends_is_not_sent(stage: Any) -> None:
    all_wait, moves_on = asyncio.Event(), asyncio.Event()
    paths: list[str] = []

    class Line:
        waiting = 0

        async def acquire(self) -> None:
            self.waiting += 1
            if self.waiting == 4:
                all_wait.set()
            if self.waiting > 2:
                await moves_on.wait()

    async def use_up(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        if len(paths) == 1:
            return httpx.Response(200, json={"encoded_account_id": "a0"})
        await all_wait.wait()
        return httpx.Response(429, json={"error_key": "quota_exceeded"})

    async with stage.client(limiter=Line(), transport=httpx.MockTransport(use_up)) as client:
        await client.get_account()  # so that the tokens are at hand
        tasks = [asyncio.create_task(client.get_lists()) for _ in range(3)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        moves_on.set()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in ended] == [QuotaExceeded] * 3
    assert paths == ["/v3/account/summary", "/v3/contact_lists"]


async def test_a_quota_that_ends_at_the_sign_in_is_remembered_too(stage: Any, answer: Any) -> None:
    stage.store.tokens = type(stage.store.tokens).of(refresh_token="refresh-0")
    stage.script.on("POST /oauth2/default/v1/token", answer(429, {"error_key": "quota_exceeded"}))
    async with stage.client() as client:
        for _ in range(2):
            with pytest.raises(QuotaExceeded):
                await client.get_lists()
    assert len(stage.script.requests) == 1


async def test_being_told_to_wait_uses_up_no_time_for_faults(stage: Any, answer: Any) -> None:
    stage.script.on(
        LISTS, answer(500), *[answer(429, THROTTLED)] * 20, answer(500), answer(200, ONE_LIST)
    )
    began = stage.time.now
    async with stage.client(policy=RetryPolicy(total_s=50, longest_wait_s=5)) as client:
        await client.get_lists()
    assert stage.time.now - began > 100


@pytest.mark.parametrize("status", [302, 400, 403, 404, 409])
async def test_a_refusal_is_not_repeated(stage: Any, answer: Any, status: int) -> None:
    headers = {"Location": "https://elsewhere.example/v3/contact_lists"}
    stage.script.on(LISTS, answer(status, headers=headers))
    async with stage.client() as client:
        with pytest.raises(Exception, match=r"Constant Contact"):
            await client.get_lists()
    assert [request.url.host for request in stage.script.requests] == ["api.cc.email"]


async def test_no_pause_passes_the_end_of_the_window(stage: Any, answer: Any) -> None:
    stage.script.on(LISTS, answer(500))
    deadline = stage.time.now + 5
    policy = RetryPolicy(attempts=100)
    async with stage.client(deadline=deadline, policy=policy) as client:
        with pytest.raises(WindowClosed):
            await client.get_lists()
    assert stage.time.now < deadline


async def test_the_last_fault_is_what_is_raised_when_attempts_end_before_the_window(
    stage: Any, answer: Any
) -> None:
    stage.script.on(LISTS, answer(500))
    async with stage.client(
        deadline=stage.time.now + 600, policy=RetryPolicy(attempts=2)
    ) as client:
        with pytest.raises(ServerFault):
            await client.get_lists()


@pytest.mark.parametrize(
    "text",
    [
        "<html>",
        "",
        '{"lists": ',
        "[]",
        "7",
        "null",
        '""',
        "\xff",
        '{"lists": {}}',
        '{"lists": ""}',
        '{"message": "Down for maintenance"}',
    ],
)
async def test_a_200_of_another_kind_is_an_error_and_no_crash(stage: Any, text: str) -> None:
    stage.script.on(LISTS, lambda _: httpx.Response(200, content=text.encode("latin-1")))
    async with stage.client() as client:
        with pytest.raises(MalformedAnswer):
            await client.get_lists()


async def test_an_answer_cut_short_is_asked_for_again(stage: Any, answer: Any) -> None:
    stage.script.on(
        LISTS,
        lambda _: httpx.Response(200, text='{"lists": '),
        answer(200, {"message": "Down for maintenance"}),
        answer(200, {"lists": []}),
    )
    async with stage.client() as client:
        assert await client.get_lists() == []
    assert client.request_counts.retried == 2


@pytest.mark.parametrize(
    "body", [{}, {"lists": None}, {"lists": []}, {"_links": {}, "lists_count": 0}]
)
async def test_an_empty_collection_may_leave_its_key_out(
    stage: Any, answer: Any, body: Any
) -> None:
    stage.script.on(LISTS, answer(200, body))
    async with stage.client() as client:
        assert await client.get_lists() == []


async def test_pages_are_followed_as_given(stage: Any, answer: Any) -> None:
    def page(number: int, href: str | None) -> Callable[..., httpx.Response]:
        links = {"_links": {"next": {"href": href}}} if href else {}
        return answer(200, {"lists": [{"list_id": f"l{number}", "name": ""}], **links})

    cursor = "/v3/contact_lists?cursor=bGltaXQ%3D%3D%26x&limit=50"
    stage.script.on(LISTS, page(1, cursor), page(2, cursor + "2"), page(3, None))
    async with stage.client() as client:
        lists = await client.get_lists()
    assert [found.list_id for found in lists] == ["l1", "l2", "l3"]
    urls = [str(request.url) for request in stage.script.requests]
    assert urls[1:] == [f"https://api.cc.email{cursor}", f"https://api.cc.email{cursor}2"]


async def test_pages_that_do_not_end_are_an_error(stage: Any, answer: Any) -> None:
    href = "/v3/contact_lists?cursor=1"
    stage.script.on(LISTS, answer(200, {"lists": [], "_links": {"next": {"href": href}}}))
    async with stage.client() as client:
        with pytest.raises(MalformedAnswer, match="do not end"):
            await client.get_lists()
    assert len(stage.script.requests) == 2


async def test_requests_say_who_they_come_from_and_for_whom(stage: Any, answer: Any) -> None:
    stage.script.on("GET /v3/account/summary", answer(200, {"encoded_account_id": "a0"}))
    async with stage.client() as client:
        account = await client.get_account()
    assert account.encoded_account_id == "a0"
    headers = stage.script.requests[0].headers
    assert headers["User-Agent"].startswith("segment-export/")
    assert headers["Authorization"] == "Bearer access-0"


async def test_requests_side_by_side_are_paced(stage: Any) -> None:
    starts: list[float] = []

    def note(_: httpx.Request) -> httpx.Response:
        starts.append(stage.time.now)
        return httpx.Response(200, json=ONE_LIST)

    stage.script.on(LISTS, note)
    async with stage.client() as client:
        await asyncio.gather(*(client.get_lists() for _ in range(9)))
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert min(gaps) >= 0.275 - 1e-6


async def test_privileges_and_custom_fields_are_read_tolerantly(stage: Any, answer: Any) -> None:
    stage.script.on(
        "GET /v3/account/user/privileges",
        answer(200, [{"privilege_name": "contacts:write"}, {}, None, 5]),
    ).on(
        "GET /v3/contact_custom_fields",
        answer(200, {"custom_fields": [{"name": "tier", "label": "Tier"}, {}, None]}),
    )
    async with stage.client() as client:
        assert await client.get_privileges() == {"contacts:write"}
        assert [found.name for found in await client.get_custom_fields()] == ["tier"]
    assert stage.script.requests[1].url.params["limit"] == "100"


@pytest.mark.parametrize("body", [{}, [], {"encoded_account_id": " "}, {"message": "Down"}])
async def test_an_account_that_is_not_named_is_asked_for_again(
    stage: Any, answer: Any, body: Any
) -> None:
    account = "GET /v3/account/summary"
    stage.script.on(account, answer(200, body), answer(200, {"encoded_account_id": "a0"}))
    async with stage.client() as client:
        assert (await client.get_account()).encoded_account_id == "a0"
        stage.script.on(account, answer(200, body))
        with pytest.raises(MalformedAnswer, match="does not say which one it is"):
            await client.get_account()
    assert stage.script.count(account) == 2 + 6


async def test_an_answer_about_another_activity_is_asked_for_again(stage: Any, answer: Any) -> None:
    other, own = ({"activity_id": name, "state": "completed"} for name in ("b-1", "A-1"))
    stage.script.on("GET /v3/activities/a-1", answer(200, other), answer(200, own))
    async with stage.client() as client:
        assert (await client.get_activity("a-1")).activity_id == "a-1"
        stage.script.on("GET /v3/activities/a-1", answer(200, other))
        with pytest.raises(MalformedAnswer, match="a-1 is about another one"):
            await client.get_activity("a-1")
    assert stage.script.count("GET /v3/activities/a-1") == 2 + 6


async def test_an_unknown_activity_is_not_found(stage: Any, answer: Any) -> None:
    stage.script.on("GET /v3/activities/a-1", answer(404, [{"error_key": "not_found"}]))
    async with stage.client() as client:
        with pytest.raises(NotFound):
            await client.get_activity("a-1")


@pytest.mark.parametrize(
    ("activity_id", "step"),
    [("../lists", "..%2Flists"), ("..", "%2E%2E"), ("a?b#c%", "a%3Fb%23c%25"), ("ä", "%C3%A4")],
)
async def test_an_activity_id_of_any_form_stays_one_step_of_the_path(
    stage: Any, activity_id: str, step: str
) -> None:
    def show(request: httpx.Request) -> httpx.Response:
        assert request.url.raw_path == f"/v3/activities/{step}".encode()
        return httpx.Response(200, json={"activity_id": activity_id})

    async with stage.client(transport=httpx.MockTransport(show)) as client:
        assert (await client.get_activity(activity_id)).activity_id == activity_id


async def test_a_request_that_drips_is_cut_off(stage: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("constant_contact._retry._REQUEST_S", 0.01)

    async def drip(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(30)
        raise AssertionError("not cut off")

    async with stage.client(
        transport=httpx.MockTransport(drip), policy=RetryPolicy(attempts=1)
    ) as client:
        with pytest.raises(ApiUnreachable, match="in time"):
            await client.get_lists()


async def test_nothing_secret_is_logged(
    stage: Any, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    stage.script.on(LISTS, answer(401), answer(503), answer(200, ONE_LIST)).on(
        "POST /oauth2/default/v1/token",
        answer(200, {"access_token": "access-1", "refresh_token": "refresh-1"}),
    )
    with caplog.at_level(logging.DEBUG):
        async with stage.client() as client:
            await client.get_lists()
    text = caplog.text + repr(stage.events)
    assert "segment_export.api" in {record.name for record in caplog.records}
    assert not any(secret in text for secret in ("access-", "refresh-", "hush"))


async def test_a_refused_request_keeps_its_key(stage: Any, answer: Any) -> None:
    stage.script.on(LISTS, answer(400, [{"error_key": "contacts.api.validation.error"}]))
    async with stage.client() as client:
        with pytest.raises(RequestRefused) as caught:
            await client.get_lists()
    assert (caught.value.status, caught.value.error_key) == (400, "contacts.api.validation.error")
