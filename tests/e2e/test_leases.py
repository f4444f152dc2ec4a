"""A lease over machines: one holder at a time, freed by its death, no obstacle when Prefect is."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.leases import Holder, shared_lease
from tests.conftest import PrefectServer
from tests.waiting import ask_prefect

EXPIRES_S = 3.0

# Takes the lease again and again, and prints when it had it.
WORKER = """
import asyncio, json, sys, time
from tasks.leases import Holder, shared_lease

name, machine, times, hold_s, expires_s = sys.argv[1:]

async def work():
    for _ in range(int(times)):
        async with shared_lease(
            name, holder=Holder(machine, machine), expires_s=float(expires_s)
        ) as lease:
            assert lease.variable_id is not None
            begun = time.monotonic()
            print("has it", flush=True)
            await asyncio.sleep(float(hold_s))
            assert not (lease.is_lost or lease.is_late)
            print(json.dumps([begun, time.monotonic()]), flush=True)

asyncio.run(work())
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Worker:
    """A process that plays a machine."""

    def __init__(
        self, server: PrefectServer, name: str, machine: str, *, times: int, hold_s: float
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, name, machine, str(times), str(hold_s), str(EXPIRES_S)],
            stdout=subprocess.PIPE,
            text=True,
            env=server.env(),
        )

    def wait_until_held(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "has it\n"

    def finish(self) -> list[tuple[float, float]]:
        out, _ = self.process.communicate(timeout=120)
        assert self.process.returncode == 0
        lines = [json.loads(line) for line in out.splitlines() if line != "has it"]
        return [(begun, ended) for begun, ended in lines]

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return str(request.node.name).replace("_", "-")


def test_machines_that_take_over_from_a_dead_one_never_hold_it_together(
    prefect_server: PrefectServer, name: str
) -> None:
    victim = Worker(prefect_server, name, "victim", times=1, hold_s=60)
    victim.wait_until_held()
    others = [Worker(prefect_server, name, f"machine-{n}", times=3, hold_s=0.2) for n in range(3)]
    try:
        others_start_by = time.monotonic() + 30
        while read_holder(prefect_server, name) != "victim":
            assert time.monotonic() < others_start_by
        time.sleep(4.0)  # they are waiting by now
        died_at = time.monotonic()
        victim.process.send_signal(signal.SIGKILL)
        spans = sorted(span for other in others for span in other.finish())
    finally:
        for worker in (victim, *others):
            worker.end()
    assert len(spans) == 9
    assert all(begun >= ended for (_, ended), (begun, _) in pairwise(spans))
    assert spans[0][0] > died_at
    assert read_holder(prefect_server, name) is None


def read_holder(server: PrefectServer, name: str) -> str | None:
    answer = ask_prefect("GET", f"{server.api_url}/variables/name/segment-export-lease-{name}")
    return None if answer.status_code == 404 else str(answer.json()["value"]["holder"])


@pytest.fixture
def api(prefect_server: PrefectServer) -> Iterator[PrefectServer]:
    with temporary_settings({PREFECT_API_URL: prefect_server.api_url}):
        yield prefect_server


@pytest.mark.anyio
async def test_same_machine_takes_over_at_once_what_its_dead_process_held(
    api: PrefectServer, name: str
) -> None:
    dead = Worker(api, name, "here", times=1, hold_s=60)
    dead.wait_until_held()
    dead.end()

    def wait(holder: str) -> None:
        raise AssertionError(f"it waits for {holder}")

    async with shared_lease(name, holder=Holder("next", "here"), expires_s=60, while_waiting=wait):
        assert read_holder(api, name) == "next"


@pytest.mark.anyio
async def test_waiter_is_told_who_has_it_and_may_give_up(api: PrefectServer, name: str) -> None:
    seen: list[str] = []

    def give_up(holder: str) -> None:
        seen.append(holder)
        raise TimeoutError

    async with shared_lease(name, holder=Holder("host-a, process 7", "a")):
        with pytest.raises(TimeoutError):
            async with shared_lease(name, holder=Holder("b", "b"), while_waiting=give_up):
                raise AssertionError("two have it")
        assert read_holder(api, name) == "host-a, process 7"
    assert seen == ["host-a, process 7"]
    assert read_holder(api, name) is None


@pytest.mark.anyio
async def test_holder_that_was_paused_too_long_learns_that_it_lost(
    api: PrefectServer, name: str
) -> None:
    lost, paused = asyncio.Event(), asyncio.Event()
    now = 0.0

    async def sleep(_: float) -> None:  # a holder whose renewals do not come to pass meanwhile
        await paused.wait()

    async with shared_lease(
        name,
        holder=Holder("a", "a"),
        on_lost=lost.set,
        clock=lambda: now,
        sleep=sleep,
    ) as lease:
        assert lease.is_sure
        now = 50.0
        assert not lease.is_sure
        async with shared_lease(name, holder=Holder("b", "b"), expires_s=0.5):
            paused.set()
            await asyncio.wait_for(lost.wait(), 120)
            assert lease.is_lost
            assert read_holder(api, name) == "b"
    assert read_holder(api, name) is None


@pytest.mark.anyio
async def test_work_goes_on_when_the_api_is_gone(name: str) -> None:
    told: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}):
        async with shared_lease(
            name, holder=Holder("a", "a"), on_trouble=told.append, expires_s=2.0
        ) as lease:
            assert lease.variable_id is None
            assert not lease.is_sure
    (remark,) = told
    assert remark == (
        "Prefect's API cannot tell whether another machine is at work on the same (ConnectError); "
        "this run goes on."
    )
