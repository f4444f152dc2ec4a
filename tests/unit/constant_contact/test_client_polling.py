"""Activities are watched with one request for all, until they are done or the window ends."""

import asyncio
from itertools import pairwise
from typing import Any

import httpx
import pytest

from constant_contact import (
    Activity,
    ActivityState,
    ActivityWatch,
    MalformedAnswer,
    MemoryTokenStore,
    NotAuthorised,
    QuotaExceeded,
    ServerFault,
    SignInOutOfReach,
    Tokens,
    Trouble,
    wait_for_activities,
)

pytestmark = pytest.mark.anyio

ACTIVITIES = "GET /v3/activities"
FAULTS = {
    "500": lambda _: httpx.Response(500),
    "HTML": lambda _: httpx.Response(200, text="<html>"),
    "throttled": lambda _: httpx.Response(429, json={"error_key": "throttled"}),
}


def jobs(**states: str) -> Any:
    entries = [
        {"activity_id": activity_id, "state": state, "percent_done": 5}
        for activity_id, state in states.items()
    ]
    return lambda _: httpx.Response(200, json={"activities": entries})


async def wait_for(
    stage: Any,
    *ids: str,
    window_s: float = 600,
    transport: Any = None,
    token_store: Any = None,
    **given: Any,
) -> Any:
    deadline = stage.time.now + window_s
    more = {"transport": transport, "token_store": token_store or stage.store}
    async with stage.client(deadline=deadline, **more) as client:
        return await wait_for_activities(
            client,
            ids,
            deadline=deadline,
            clock=stage.time.clock,
            sleep=stage.time.sleep,
            **given,
        )


async def test_one_request_asks_for_all(stage: Any) -> None:
    stage.script.on(
        ACTIVITIES,
        jobs(a1="initialized", a2="processing", x="failed"),
        jobs(a1="completed", a2="processing"),
        jobs(a1="completed", a2="failed"),
    )
    seen: list[tuple[str, str]] = []
    known = await wait_for(
        stage, "a1", "a2", on_change=lambda a: seen.append((a.activity_id, str(a.state)))
    )
    assert {key: activity.state for key, activity in known.items()} == {
        "a1": ActivityState.COMPLETED,
        "a2": ActivityState.FAILED,
    }
    assert seen == [
        ("a1", "initialized"),
        ("a2", "processing"),
        ("a1", "completed"),
        ("a2", "failed"),
    ]
    assert stage.script.count(ACTIVITIES) == 3
    assert dict(stage.script.requests[0].url.params) == {"limit": "500"}


async def test_pages_are_read_only_as_far_as_needed(stage: Any) -> None:
    page = {
        "activities": [{"activity_id": "a1", "state": "completed"}],
        "_links": {"next": {"href": "/v3/activities?cursor=2"}},
    }
    stage.script.on(ACTIVITIES, lambda _: httpx.Response(200, json=page))
    await wait_for(stage, "a1")
    assert len(stage.script.requests) == 1


async def test_rounds_grow_from_one_to_thirty_seconds(stage: Any) -> None:
    rounds: list[float] = []

    def note(_: httpx.Request) -> httpx.Response:
        rounds.append(stage.time.now)
        return httpx.Response(
            200, json={"activities": [{"activity_id": "a1", "state": "processing"}]}
        )

    stage.script.on(ACTIVITIES, note)
    await wait_for(stage, "a1", window_s=300)
    gaps = [later - earlier for earlier, later in pairwise(rounds)]
    assert gaps[0] == pytest.approx(1, abs=0.3)
    assert max(gaps) == pytest.approx(30, abs=0.3)
    assert gaps[:-1] == sorted(gaps[:-1])


async def test_at_the_deadline_the_unfinished_stay_unfinished(stage: Any, answer: Any) -> None:
    stage.script.on("GET /v3/activities/a3", answer(404))
    stage.script.on(ACTIVITIES, jobs(a1="completed", a2="processing"))
    began = stage.time.now
    known = await wait_for(stage, "a1", "a2", "a3", window_s=100)
    assert {key: activity.state.is_finished for key, activity in known.items()} == {
        "a1": True,
        "a2": False,
        "a3": False,
    }
    assert stage.time.now - began == pytest.approx(100, abs=1)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_passing_faults_do_not_end_it(stage: Any, fault: Any) -> None:
    stage.script.on(ACTIVITIES, *[fault] * 15, jobs(a1="completed"))
    known = await wait_for(stage, "a1")
    assert known["a1"].state is ActivityState.COMPLETED


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_lasting_faults_end_with_the_window(stage: Any, fault: Any) -> None:
    stage.script.on(ACTIVITIES, fault)
    known = await wait_for(stage, "a1", window_s=100)
    assert known["a1"].state is ActivityState.UNKNOWN


async def test_a_sign_in_that_is_out_of_reach_for_a_while_does_not_end_it(
    stage: Any, answer: Any
) -> None:
    began, told = stage.time.now, list[Trouble | None]()

    class Away(MemoryTokenStore):
        async def load(self) -> Tokens:
            if stage.time.now < began + 200:
                raise SignInOutOfReach
            return await super().load()

    expired = Tokens.of(access_token="access-0", refresh_token="refresh-0", expires_at=0)
    stage.script.on("POST /oauth2/default/v1/token", answer(200, {"access_token": "access-1"}))
    stage.script.on(ACTIVITIES, jobs(a1="completed"))
    known = await wait_for(stage, "a1", token_store=Away(expired), on_trouble=told.append)
    assert known["a1"].state is ActivityState.COMPLETED
    assert told[-1] is None
    assert told[0] is not None
    assert "the place where the sign-in is kept did not answer" in told[0].describe(stage.time.now)


async def test_trouble_is_told_with_its_beginning_and_its_end(stage: Any, answer: Any) -> None:
    shown = jobs(a1="processing")
    stage.script.on(ACTIVITIES, shown, *[answer(503)] * 7, shown, jobs(a1="completed"))
    heard: list[Any] = []
    began = stage.time.now
    await wait_for(stage, "a1", on_trouble=heard.append)
    assert [type(trouble.error) if trouble else None for trouble in heard] == [
        ServerFault,
        ServerFault,
        None,
    ]
    assert heard[0].since == heard[1].since
    assert heard[0].since - began == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize("window_s", [10, 600], ids=["in the first round", "over many rounds"])
async def test_trouble_to_the_end_of_the_window_is_known(stage: Any, window_s: float) -> None:
    async def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("nothing to see", request=request)

    heard: list[Any] = []
    stage.time.now = 1_800_000_000.0 + 3 * 60
    await wait_for(
        stage,
        "a1",
        window_s=window_s,
        on_trouble=heard.append,
        transport=httpx.MockTransport(refuse),
    )
    lasted = "10 minutes" if window_s == 600 else "less than a minute"
    assert heard[-1].describe(stage.time.now) == (
        f"From 08:03 UTC on, for {lasted}, Constant Contact did not answer."
    )


@pytest.mark.parametrize(
    ("answer_given", "kind"),
    [
        (lambda _: httpx.Response(429, json={"error_key": "quota_exceeded"}), QuotaExceeded),
        (lambda _: httpx.Response(401), NotAuthorised),
    ],
)
async def test_what_stops_the_run_stops_it_and_keeps_what_is_known(
    stage: Any, answer: Any, answer_given: Any, kind: Any
) -> None:
    stage.script.on(ACTIVITIES, jobs(a1="completed", a2="processing"), answer_given)
    stage.script.on("POST /oauth2/default/v1/token", answer(200, {"access_token": "access-1"}))
    async with stage.client() as client:
        watch = ActivityWatch(client, deadline=9e9, clock=stage.time.clock, sleep=stage.time.sleep)
        watch.add("a1")
        watch.add("a2")
        watch.close()
        with pytest.raises(kind):
            await watch.run()
    assert watch.known["a1"].state is ActivityState.COMPLETED
    assert watch.unfinished == {"a2"}


async def test_an_activity_that_the_collection_hides_is_asked_for_singly(
    stage: Any, answer: Any
) -> None:
    stage.script.on(ACTIVITIES, jobs(a1="completed"))
    stage.script.on(
        "GET /v3/activities/a2", answer(200, {"activity_id": "a2", "state": "completed"})
    )
    known = await wait_for(stage, "a1", "a2")
    assert known["a2"].state is ActivityState.COMPLETED
    assert stage.script.count(ACTIVITIES) == 6


@pytest.mark.parametrize("body", [{"activity_id": "a9", "state": "completed"}, {}])
async def test_an_answer_about_another_activity_is_trouble_and_no_state(
    stage: Any, answer: Any, body: Any
) -> None:
    stage.script.on(ACTIVITIES, jobs())
    own = answer(200, {"activity_id": "A2", "state": "completed"})
    stage.script.on("GET /v3/activities/a2", *[answer(200, body)] * 8, own)
    heard: list[Trouble | None] = []
    known = await wait_for(stage, "a2", on_trouble=heard.append)
    assert {key: found.activity_id for key, found in known.items()} == {"a2": "a2"}
    assert known["a2"].state is ActivityState.COMPLETED
    assert [trouble and type(trouble.error) for trouble in heard] == [MalformedAnswer, None]


async def test_an_activity_that_shows_late_is_asked_for_singly_no_more(
    stage: Any, answer: Any
) -> None:
    shown = jobs(a1="processing", a2="processing")
    stage.script.on(
        ACTIVITIES, *[jobs(a1="processing")] * 6, *[shown] * 9, jobs(a1="completed", a2="completed")
    )
    stage.script.on("GET /v3/activities/a2", answer(404))
    gone: list[str] = []
    known = await wait_for(stage, "a1", "a2", on_gone=gone.append)
    assert known["a2"].state is ActivityState.COMPLETED
    assert stage.script.count("GET /v3/activities/a2") == 1
    assert gone == []


async def test_being_hidden_again_is_counted_from_the_beginning(stage: Any, answer: Any) -> None:
    stage.script.on(
        ACTIVITIES, *[jobs()] * 9, jobs(a1="processing"), *[jobs()] * 9, jobs(a1="completed")
    )
    stage.script.on("GET /v3/activities/a1", answer(404))
    known = await wait_for(stage, "a1")
    assert known["a1"].state is ActivityState.COMPLETED
    assert stage.script.count("GET /v3/activities/a1") == 8


async def test_only_not_found_in_a_row_makes_an_activity_gone(stage: Any, answer: Any) -> None:
    found = answer(200, {"activity_id": "a1", "state": "processing"})
    missing = [answer(404)] * 4
    done = answer(200, {"activity_id": "a1", "state": "completed"})
    stage.script.on(ACTIVITIES, jobs())
    stage.script.on("GET /v3/activities/a1", *missing, found, *missing, done)
    gone: list[str] = []
    known = await wait_for(stage, "a1", on_gone=gone.append)
    assert (known["a1"].state, gone) == (ActivityState.COMPLETED, [])


async def test_an_activity_that_nobody_knows_is_not_waited_for_all_night(
    stage: Any, answer: Any
) -> None:
    stage.script.on(ACTIVITIES, jobs(a2="processing"))
    stage.script.on("GET /v3/activities/a1", answer(404))
    gone: list[tuple[str, float]] = []
    began = stage.time.now
    known = await wait_for(
        stage,
        "a1",
        "a2",
        window_s=1_000,
        on_gone=lambda gone_id: gone.append((gone_id, stage.time.now - began)),
    )
    ((gone_id, after_s),) = gone
    assert gone_id == "a1"
    assert after_s < 200
    assert known["a1"] == Activity("a1")


async def test_the_watch_ends_when_what_is_left_is_gone(stage: Any, answer: Any) -> None:
    stage.script.on(ACTIVITIES, jobs()).on("GET /v3/activities/a1", answer(404))
    known = await wait_for(stage, "a1", window_s=10_000)
    assert known == {"a1": Activity("a1")}
    assert stage.time.slept
    assert sum(stage.time.slept) < 1_000


async def test_activities_are_added_while_it_runs(stage: Any) -> None:
    states: dict[str, str] = {}

    def show(_: httpx.Request) -> httpx.Response:
        entries = [{"activity_id": key, "state": state} for key, state in states.items()]
        return httpx.Response(200, json={"activities": entries})

    stage.script.on(ACTIVITIES, show)
    async with stage.client() as client:
        watch = ActivityWatch(client, deadline=9e9, clock=stage.time.clock, sleep=stage.time.sleep)
        running = asyncio.create_task(watch.run())
        for number in range(5):
            await asyncio.sleep(0.001)
            states[f"a{number}"] = "processing"
            watch.add(Activity(f"a{number}", ActivityState.INITIALIZED))
        await asyncio.sleep(0.001)
        assert not running.done()
        states.update(dict.fromkeys(states, "completed"))
        watch.close()
        known = await running
    assert [activity.state for activity in known.values()] == [ActivityState.COMPLETED] * 5


async def test_nothing_to_watch_asks_nothing(stage: Any) -> None:
    assert await wait_for(stage) == {}
    assert stage.script.requests == []
