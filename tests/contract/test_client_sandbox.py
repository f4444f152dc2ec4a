"""The client against the sandbox over a real socket: imports, polls, limits, tokens, faults."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from constant_contact import (
    AccessDenied,
    ActivityState,
    ActivityWatch,
    ApiUnreachable,
    ConstantContact,
    Credentials,
    EventKind,
    ListNotFound,
    MemoryTokenStore,
    NotFound,
    OutcomeUnknown,
    Pacer,
    Patience,
    QuotaExceeded,
    RequestRefused,
    RetryPolicy,
    SignInExpired,
    Timeouts,
    Tokens,
    WindowClosed,
    framing_bytes,
    wait_for_activities,
)
from constant_contact._http import open_http
from constant_contact._polling import _LONGEST_PAUSE_S
from sandbox import CAMPAIGN_CREATOR, Box, Fault, ManualClock, SandboxSettings, running

pytestmark = pytest.mark.anyio

QUICK = SandboxSettings(initialized_s=0.05, processing_s=0.1)
LOOKS = Patience(looks_after_s=(0.0, 0.2, 0.4))
SOON = RetryPolicy(first_wait_s=0.05, longest_wait_s=0.2)
NAME = "spring.d1.1.abcd.csv"
CSV = b"email,first_name\r\nann@example.com,Ann\r\nbob@example.com,Bob\r\n"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def box() -> Iterator[Box]:
    with running(QUICK) as box:
        yield box


@pytest.fixture
def list_id(box: Box) -> str:
    return box.add_list("Spring campaign")


def open_client(box: Box, **overrides: Any) -> ConstantContact:
    given: dict[str, Any] = {
        "credentials": Credentials.of(box.client_id, box.client_secret),
        "token_store": MemoryTokenStore(Tokens.of(refresh_token=box.refresh_token)),
        "api_url": box.api_url,
        "auth_url": box.auth_url,
        "patience": LOOKS,
        "policy": SOON,
    }
    return ConstantContact(**given | overrides)


def keep_time_by(clock: ManualClock) -> dict[str, Any]:
    """Make a client and the sandbox live by one clock, which moves when the client sleeps."""

    async def sleep(wait_s: float) -> None:
        clock.advance(wait_s)
        await asyncio.sleep(0)

    return {
        "clock": clock.utc_s,
        "sleep": sleep,
        "limiter": Pacer(clock=clock.monotonic_s, sleep=sleep),
        "token_limiter": Pacer(interval_s=1.1, clock=clock.monotonic_s, sleep=sleep),
    }


@asynccontextmanager
async def impatient_box(settings: SandboxSettings) -> AsyncIterator[tuple[Box, str]]:
    with running(settings) as box:
        yield box, box.add_list("Spring campaign")


async def send(client: ConstantContact, list_id: str, **given: Any) -> Any:
    return await client.import_file(
        **{"file_name": NAME, "body": CSV, "list_ids": [list_id]} | given
    )


async def finish(client: ConstantContact, *activity_ids: str) -> Any:
    return await wait_for_activities(client, activity_ids, deadline=time.time() + 30)


def import_names(box: Box) -> list[str]:
    return [str(activity.get("source_file_name")) for activity in box.state.activities()]


async def test_a_file_is_imported_and_its_counters_read(box: Box, list_id: str) -> None:
    box.unsubscribe(_known(box, "bob@example.com"))
    async with open_client(box) as client:
        receipt = await send(client, list_id)
        known = await finish(client, receipt.activity.activity_id)
    activity = known[receipt.activity.activity_id]
    assert activity.state is ActivityState.COMPLETED
    assert activity.source_file_name == NAME
    assert activity.created_at is not None
    assert activity.counters.cannot_add_to_list == 1
    assert activity.counters.items_total == 3
    assert set(box.state.members(list_id)) == {"ann@example.com"}
    assert client.request_counts.uploads == 1


def _known(box: Box, email: str) -> str:
    box.add_contact(email)
    return email


async def test_the_account_its_lists_fields_and_privileges_are_read(box: Box, list_id: str) -> None:
    name = box.add_custom_field("Loyalty tier")
    async with open_client(box) as client:
        account = await client.get_account()
        lists = await client.get_lists()
        fields = await client.get_custom_fields()
        privileges = await client.get_privileges()
    assert account.encoded_account_id == QUICK.encoded_account_id
    assert list_id in {found.list_id for found in lists}
    assert name in {found.name for found in fields}
    assert "contacts:write" in privileges


async def test_a_list_is_found_by_all_its_names(box: Box, list_id: str) -> None:
    number = box.state.sequence_id(list_id)
    references = [
        list_id,
        number,
        f"https://app.constantcontact.com/pages/contacts/ui#contacts/{number}",
        f"https://app.constantcontact.com/pages/contacts/ui/lists/{list_id}",
    ]
    async with open_client(box) as client:
        found = [await client.resolve_list(reference) for reference in references]
        with pytest.raises(ListNotFound, match="Spring campaign"):
            await client.resolve_list(str(uuid.uuid4()))
        with pytest.raises(ListNotFound, match="Spring campaign"):
            await client.resolve_list("Spring campain")
    assert {entry.list_id for entry in found} == {list_id}


LOST = {
    "dropped before": (Fault("file_import", "drop", when="before"), 2),
    "dropped after": (Fault("file_import", "drop", when="after"), 1),
    "503 before": (Fault("file_import", "status", status=503, when="before"), 2),
    "503 after": (Fault("file_import", "status", status=503, when="after"), 1),
    "500 HTML after": (
        Fault("file_import", "status", status=500, when="after", envelope="html"),
        1,
    ),
    "truncated": (Fault("file_import", "truncated"), 1),
    "no id": (Fault("file_import", "missing", fields=("activity_id",)), 1),
}


@pytest.mark.parametrize(("fault", "uploads"), LOST.values(), ids=LOST.keys())
async def test_a_lost_answer_makes_one_job_all_the_same(
    box: Box, list_id: str, fault: Fault, uploads: int
) -> None:
    box.script(fault)
    events: list[Any] = []
    async with open_client(box, on_event=events.append) as client:
        receipt = await send(client, list_id)
        await finish(client, receipt.activity.activity_id)
    assert import_names(box) == [NAME]
    assert receipt.reconciled is (uploads == 1)
    assert client.request_counts.uploads == uploads
    assert EventKind.RECONCILE in {event.kind for event in events}
    assert set(box.state.members(list_id)) == {"ann@example.com", "bob@example.com"}


async def test_a_job_that_shows_late_is_waited_for(box: Box, list_id: str) -> None:
    box.script(Fault("file_import", "drop", when="after"), Fault("file_import", "hidden", reads=2))
    async with open_client(box) as client:
        receipt = await send(client, list_id)
    assert receipt.reconciled
    assert import_names(box) == [NAME]


async def test_a_time_out_is_reconciled(box: Box, list_id: str) -> None:
    box.script(Fault("file_import", "delay", seconds=2, when="after"))
    async with open_client(box, timeouts=Timeouts(read_s=0.3, upload_read_s=0.3)) as client:
        receipt = await send(client, list_id)
    assert receipt.reconciled
    assert import_names(box) == [NAME]


async def test_nothing_is_sent_again_when_the_activities_cannot_be_read(
    box: Box, list_id: str
) -> None:
    box.script(
        Fault("file_import", "drop", when="after"),
        Fault("activities", "status", status=500, repeat=50),
    )
    async with open_client(box) as client:
        with pytest.raises(OutcomeUnknown):
            await send(client, list_id)
        box.clear_script()
        found = [activity.source_file_name async for activity in client.iter_activities()]
    assert found == import_names(box) == [NAME]


async def test_a_failed_job_of_the_same_name_does_not_count(box: Box, list_id: str) -> None:
    box.script(Fault("file_import", "outcome", state="failed"))
    async with open_client(box) as client:
        failed = await send(client, list_id)
        known = await finish(client, failed.activity.activity_id)
        assert known[failed.activity.activity_id].state is ActivityState.FAILED
        box.script(Fault("file_import", "drop", when="before"))
        receipt = await send(client, list_id)
    assert not receipt.reconciled
    assert receipt.activity.activity_id != failed.activity.activity_id
    assert import_names(box) == [NAME, NAME]


async def test_the_whole_body_fits_under_the_limit(box: Box, list_id: str) -> None:
    header, room_bytes = b"email,first_name\r\n", 3_999_999 - framing_bytes(NAME, [list_id])
    width, rest = divmod(room_bytes - len(header), 39_999)
    emails = (b"%06d%s@example.com," % (number, b"x" * 52) for number in range(39_999))
    rows = [email.ljust(width - 2, b"n") for email in emails]
    rows[-1] = rows[-1][:60] + rows[-1][60:].ljust(width - 2 + rest - 60, b"n")
    body = header + b"\r\n".join(rows) + b"\r\n"
    assert len(body) == room_bytes
    async with open_client(box) as client:
        receipt = await send(client, list_id, body=body)
        known = await finish(client, receipt.activity.activity_id)
    assert known[receipt.activity.activity_id].counters.items_total == 40_000
    (record,) = box.state.requests("file_import")
    assert record.status == 201


async def test_never_more_than_four_requests_arrive_in_a_second(box: Box, list_id: str) -> None:
    async with open_client(box) as client:
        await asyncio.gather(
            *(send(client, list_id, file_name=f"x{number}.csv") for number in range(12)),
            *(client.get_lists() for _ in range(4)),
        )
    assert box.state.most_requests_in_any_second() <= 4
    assert client.request_counts.throttled == 0


async def test_a_connection_outlives_the_longest_pause_between_polls(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, used = ManualClock(), set[object]()
    http11_time = SimpleNamespace(monotonic=clock.monotonic_s)
    monkeypatch.setattr("httpcore._async.http11.time", http11_time)
    async with open_http(httpx.URL(box.api_url)) as http:
        for _ in range(3):
            answer = await http.get(f"{box.api_url}/activities")
            used.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
            clock.advance(2 * _LONGEST_PAUSE_S)
    assert len(used) == 1


async def test_throttling_is_waited_out(box: Box, list_id: str) -> None:
    hasty = Pacer(interval_s=0.0)
    async with open_client(box, limiter=hasty) as client:
        await client.get_account()
        receipts = await asyncio.gather(
            *(send(client, list_id, file_name=f"x{number}.csv") for number in range(6))
        )
    assert client.request_counts.throttled > 0
    assert len({receipt.activity.activity_id for receipt in receipts}) == 6
    assert sorted(import_names(box)) == [f"x{number}.csv" for number in range(6)]


async def test_a_used_up_quota_stops_at_once() -> None:
    async with impatient_box(replace(QUICK, requests_per_day=2)) as (box, list_id):
        async with open_client(box) as client:
            await client.get_account()
            await client.get_account()
            with pytest.raises(QuotaExceeded, match="00:00 UTC"):
                await send(client, list_id)
            with pytest.raises(QuotaExceeded, match="00:00 UTC"):
                await client.get_lists()
        assert client.request_counts.total == 3
        assert box.state.requests("lists") == []


async def test_a_full_queue_is_drained_by_polling() -> None:
    settings = replace(QUICK, activity_queue=2, processing_s=1.5)
    async with impatient_box(settings) as (box, list_id):
        events: list[Any] = []
        async with open_client(box, on_event=events.append) as client:
            for number in range(3):
                await send(client, list_id, file_name=f"x{number}.csv")
        assert EventKind.QUEUE_FULL in {event.kind for event in events}
        assert import_names(box) == ["x0.csv", "x1.csv", "x2.csv"]


async def test_tokens_rotate_and_the_new_one_is_stored() -> None:
    clock = ManualClock()
    with running(QUICK, clock=clock) as box:
        store = MemoryTokenStore(Tokens.of(refresh_token=box.refresh_token))
        async with open_client(box, token_store=store, **keep_time_by(clock)) as client:
            await client.get_account()
            first = store.tokens.refresh_token
            store.tokens = replace(store.tokens, expires_at=0.0)
        assert first.get_secret_value() != box.refresh_token
        clock.advance(1)  # the token endpoint takes one request a second
        async with open_client(box, token_store=store, **keep_time_by(clock)) as client:
            await client.get_account()
        assert store.tokens.refresh_token != first
        clock.advance(1)
        async with open_client(box, **keep_time_by(clock)) as client:  # with the first, now spent
            with pytest.raises(SignInExpired):
                await client.get_account()


async def test_a_revoked_access_token_is_renewed_once(box: Box, list_id: str) -> None:
    dead = box.access_token(life_s=0)
    tokens = Tokens.of(
        access_token=dead, refresh_token=box.refresh_token, expires_at=time.time() + 3600
    )
    events: list[Any] = []
    store = MemoryTokenStore(tokens)
    async with open_client(box, token_store=store, on_event=events.append) as client:
        receipt = await send(client, list_id)
    assert receipt.activity.activity_id
    assert [event.kind for event in events] == [EventKind.REFRESH]
    assert import_names(box) == [NAME]


async def test_clients_that_share_a_store_refresh_once(box: Box) -> None:
    store = MemoryTokenStore(Tokens.of(refresh_token=box.refresh_token))
    async with (
        open_client(box, token_store=store) as one,
        open_client(box, token_store=store) as other,
    ):
        await asyncio.gather(one.get_account(), other.get_account())
    tokens_spent = {box.refresh_token, store.tokens.refresh_token.get_secret_value()}
    assert len(tokens_spent) == 2


async def test_a_campaign_creator_is_told_who_has_to_sign_in(box: Box) -> None:
    app = box.add_client(privileges=CAMPAIGN_CREATOR)
    async with open_client(
        box,
        credentials=Credentials.of(app.client_id, app.client_secret),
        token_store=MemoryTokenStore(Tokens.of(refresh_token=app.refresh_token)),
    ) as client:
        with pytest.raises(AccessDenied, match="Account Owner"):
            await anext(client.iter_activities())


async def test_an_unknown_list_refuses_the_file(box: Box) -> None:
    async with open_client(box) as client:
        with pytest.raises(RequestRefused) as caught:
            await send(client, str(uuid.uuid4()))
        with pytest.raises(NotFound):
            await client.get_activity(str(uuid.uuid4()))
    assert caught.value.status in {400, 404}
    assert import_names(box) == []


async def test_polling_goes_on_over_faults_and_hidden_jobs(box: Box, list_id: str) -> None:
    async with open_client(box) as client:
        box.script(Fault("file_import", "hidden", reads=3))
        receipt = await send(client, list_id)
        box.script(
            Fault("activities", "status", status=503, occurrence=1, repeat=2),
            Fault("activities", "truncated", occurrence=4),
            Fault("activities", "drop", occurrence=5),
        )
        known = await finish(client, receipt.activity.activity_id)
    assert known[receipt.activity.activity_id].state is ActivityState.COMPLETED


async def test_a_job_without_end_is_pending_when_the_window_ends() -> None:
    clock = ManualClock()
    with running(QUICK, clock=clock) as box:
        list_id = box.add_list("Spring campaign")
        box.script(Fault("file_import", "outcome", state="processing"))
        deadline = clock.utc_s() + 3_600
        timing = keep_time_by(clock)
        async with open_client(box, deadline=deadline, **timing) as client:
            receipt = await send(client, list_id)
            activity_id = receipt.activity.activity_id
            known = await wait_for_activities(
                client,
                [activity_id],
                deadline=deadline,
                clock=timing["clock"],
                sleep=timing["sleep"],
            )
            assert not known[activity_id].state.is_finished
            assert abs(clock.utc_s() - deadline) < 1.5
            with pytest.raises(WindowClosed):
                await send(client, list_id, file_name="late.csv")
        assert import_names(box) == [NAME]


async def test_uploads_and_polls_go_side_by_side(box: Box, list_id: str) -> None:
    async with open_client(box) as client:
        watch = ActivityWatch(client, deadline=time.time() + 30)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch.run())
            for number in range(6):
                receipt = await send(client, list_id, file_name=f"x{number}.csv")
                watch.add(receipt.activity)
            watch.close()
    known = watching.result()
    assert [activity.state for activity in known.values()] == [ActivityState.COMPLETED] * 6
    assert client.request_counts.polls <= 6


async def test_lists_and_activities_are_read_over_all_pages(box: Box) -> None:
    list_ids = {box.add_list(f"List {number}") for number in range(501)}
    async with open_client(box) as client:
        found = {entry.list_id for entry in await client.get_lists()}
        assert [a async for a in client.iter_activities(ActivityState.PROCESSING)] == []
        assert [a async for a in client.iter_activities(ActivityState.INITIALIZED)] == []
    assert found >= list_ids


async def test_a_sandbox_that_is_gone_is_unreachable() -> None:
    with running(QUICK) as box:
        pass
    tokens = Tokens.of(access_token="access-0", expires_at=time.time() + 3600)
    policy, store = replace(SOON, attempts=2), MemoryTokenStore(tokens)
    async with open_client(box, policy=policy, token_store=store) as client:
        with pytest.raises(ApiUnreachable):
            await client.get_account()
