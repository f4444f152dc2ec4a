"""Who holds a lease after silence and outages, by a clock that only sleeping moves."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from tasks.leases import Holder, Lease, shared_lease
from tasks.repeating import repeating

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Variables:
    """Prefect's variables in memory, a clock, and a switch that takes the API away."""

    def __init__(self) -> None:
        self.now = 0.0
        self.stored: dict[str, dict[str, Any]] = {}
        self.ids = itertools.count()
        self.is_away = False
        self.is_cut_by_a_proxy = False
        self.outage: tuple[float, float] | None = None
        self.renews_by_itself = False

    def clock(self) -> float:
        return self.now

    async def sleep(self, wait_s: float) -> None:
        self.now += wait_s
        if self.outage is not None:
            self.is_away = self.outage[0] <= self.now < self.outage[1]
        if self.renews_by_itself and not self.is_away:
            for variable in self.stored.values():
                variable["value"]["beat"] += 1
        await asyncio.sleep(0)

    def put(self, name: str, machine: str) -> None:
        value = {"holder": machine, "machine": machine, "token": machine, "beat": 0}
        self.stored[str(next(self.ids))] = {"name": name, "value": value}

    @asynccontextmanager
    async def client(self) -> AsyncIterator["Variables"]:
        yield self

    async def request(self, method: str, path: str, json: Any = None) -> httpx.Response:
        if self.is_away:
            raise httpx.ConnectError("away")
        if self.is_cut_by_a_proxy:
            return httpx.Response(200, text="<html>")
        names = {variable["name"]: key for key, variable in self.stored.items()}
        last = path.rpartition("/")[2]
        key = names.get(last, "") if "/name/" in path else last
        if method == "POST":
            if json["name"] in names:
                return refuse(409)
            key = str(next(self.ids))
            self.stored[key] = dict(json)
        elif key not in self.stored:
            return refuse(404)
        elif method == "PATCH":
            self.stored[key]["value"] = json["value"]
            return httpx.Response(204)
        elif method == "DELETE":
            del self.stored[key]
            return httpx.Response(204)
        return httpx.Response(200, json={"id": key, **self.stored[key]})


def refuse(status: int) -> httpx.Response:
    request = httpx.Request("POST", "http://p")
    raise httpx.HTTPStatusError("", request=request, response=httpx.Response(status))


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> Variables:
    found = Variables()
    monkeypatch.setattr("tasks.leases.get_client", found.client)
    return found


NAME = "segment-export-lease-x"


def lease(variables: Variables, machine: str, **more: Any) -> Any:
    return shared_lease(
        "x",
        holder=Holder(machine, machine),
        clock=variables.clock,
        sleep=variables.sleep,
        **more,
    )


async def test_lease_that_nobody_renews_is_taken_over_when_it_expires(variables: Variables) -> None:
    variables.put(NAME, "dead")
    async with lease(variables, "a") as held:
        assert 45.0 <= variables.now <= 48.0
        assert [one["value"]["holder"] for one in variables.stored.values()] == ["a"]
        assert held.is_contested  # who is silent need not be dead
        assert not held.is_sure
    assert variables.stored == {}


@pytest.mark.parametrize("left_behind", [False, True], ids=["nobody's", "this machine's"])
async def test_lease_that_no_other_machine_had_is_sure(
    variables: Variables, left_behind: bool
) -> None:
    if left_behind:
        variables.put(NAME, "a")
    async with lease(variables, "a") as held:
        assert (held.is_sure, held.is_contested) == (True, False)
        assert variables.now == 0.0


async def test_lease_that_is_renewed_is_waited_for(variables: Variables) -> None:
    variables.put(NAME, "alive")
    variables.renews_by_itself = True
    seen = 0

    def look(holder: str) -> None:
        nonlocal seen
        seen += 1
        assert holder == "alive"
        if variables.now > 300:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        async with lease(variables, "a", while_waiting=look):
            raise AssertionError("two have it")
    assert seen > 100


async def test_time_without_the_api_counts_against_nobody(variables: Variables) -> None:
    variables.put(NAME, "silent")
    variables.outage = (20.0, 50.0)
    async with lease(variables, "a"):
        # Seen for 20 s, not seen for 30 s: its 45 s begin when the API is back.
        assert 95.0 <= variables.now <= 99.0


async def test_known_holder_is_waited_for_while_the_api_is_away_longer_than_an_unknown_one(
    variables: Variables,
) -> None:
    told: list[str] = []
    variables.is_away = True
    async with lease(variables, "a", on_trouble=told.append):
        assert 10.0 <= variables.now <= 15.0
    variables.is_away = False
    variables.put(NAME, "alive")
    began = variables.now
    variables.outage = (began + 5.0, 1e9)
    async with lease(variables, "a", on_trouble=told.append):
        assert 45.0 <= variables.now - began <= 55.0
    assert len(told) == 2


async def test_who_may_not_go_alone_waits_as_long_as_it_says_and_then_ends(
    variables: Variables,
) -> None:
    variables.outage = (0.0, 60.0)
    variables.is_away = True
    async with lease(variables, "a", patience_s=90.0) as held:
        assert 60.0 <= variables.now <= 65.0
        assert held.is_sure

    def refuse(_remark: str) -> None:
        raise TimeoutError

    began = variables.now
    variables.outage = (began, 1e9)
    variables.is_away = True
    with pytest.raises(TimeoutError):
        async with lease(variables, "a", patience_s=90.0, on_trouble=refuse):
            raise AssertionError("it went on alone")
    assert 90.0 <= variables.now - began <= 95.0


async def test_holder_that_fell_silent_is_sure_again_only_after_two_renewals(
    variables: Variables,
) -> None:
    renewals = asyncio.Event()

    async def sleep_until_told(_: float) -> None:
        await renewals.wait()
        renewals.clear()

    async def renew() -> None:
        renewals.set()
        for _ in range(20):
            await asyncio.sleep(0)

    held: Lease
    async with shared_lease(
        "x", holder=Holder("a", "a"), clock=variables.clock, sleep=sleep_until_told
    ) as held:
        await asyncio.sleep(0)
        assert not held.is_late
        variables.now = 30.0
        await renew()
        variables.now = 70.0
        assert held.is_sure
        variables.now = 80.0
        assert not held.is_sure
        assert held.is_late
        await renew()
        assert not held.is_sure
        variables.now = 91.0
        await renew()
        assert held.is_sure
        variables.stored.clear()
        await renew()
        assert held.is_lost
        assert not held.is_sure
        assert not held.is_late


@asynccontextmanager
async def going_alone(variables: Variables) -> AsyncIterator[tuple[Lease, list[str]]]:
    """Have a machine begin without the API, which is there again then."""
    lost: list[str] = []
    variables.is_away = True
    async with lease(variables, "a", on_lost=lambda: lost.append("lost")) as held:
        assert held.variable_id is None
        assert (held.is_sure, held.is_late) == (False, False)
        variables.is_away = False
        yield held, lost


async def let_pass(variables: Variables, seconds: float) -> None:
    """Let that much time go by, of which each renewal takes some."""
    until = variables.now + seconds
    for _ in range(10_000):
        if variables.now >= until:
            return
        await asyncio.sleep(0)
    raise AssertionError("time stands still")


async def test_who_goes_alone_takes_the_lease_later_and_is_not_sure_all_the_same(
    variables: Variables,
) -> None:
    async with going_alone(variables) as (held, lost):
        await let_pass(variables, 100.0)
        assert [one["value"]["holder"] for one in variables.stored.values()] == ["a"]
        assert (held.is_sure, held.is_late, lost) == (False, False, [])
    assert variables.stored == {}


async def test_who_goes_alone_ends_where_another_is_at_work(variables: Variables) -> None:
    async with going_alone(variables) as (held, lost):
        variables.put(NAME, "alive")
        variables.renews_by_itself = True
        await let_pass(variables, 22.0)  # seen twice, and changed in between
        for _ in range(20):
            await asyncio.sleep(0)
        assert held.is_lost
        assert lost == ["lost"]
    assert [one["value"]["holder"] for one in variables.stored.values()] == ["alive"]


async def test_who_goes_alone_takes_over_from_the_dead_however_often_the_api_is_away(
    variables: Variables,
) -> None:
    async with going_alone(variables) as (held, lost):
        variables.put(NAME, "silent")
        began = variables.now
        variables.outage = (began + 40.0, began + 70.0)
        await let_pass(variables, 110.0)  # seen for 40 s and for 40 s, never for 45 in a row
        assert [one["value"]["holder"] for one in variables.stored.values()] == ["silent"]
        await let_pass(variables, 20.0)
        assert [one["value"]["holder"] for one in variables.stored.values()] == ["a"]
        assert (held.is_lost, lost) == (False, [])


async def test_page_of_a_proxy_is_no_answer(variables: Variables) -> None:
    told: list[str] = []
    variables.is_cut_by_a_proxy = True
    async with lease(variables, "a", on_trouble=told.append) as held:
        assert held.variable_id is None
    assert "an answer that is not Prefect's" in told[0]


async def test_repeated_work_that_is_under_way_is_finished_and_then_ends() -> None:
    done: list[str] = []
    begun = asyncio.Event()

    async def work() -> bool:
        begun.set()
        await asyncio.sleep(0.01)
        done.append("finished")
        return True

    async def at_once(_: float) -> None:
        await asyncio.sleep(0)

    async with repeating(work, every_s=1.0, takes_s=5.0, sleep=at_once):
        await begun.wait()
    assert done == ["finished"]
