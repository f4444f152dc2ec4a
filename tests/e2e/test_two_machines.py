"""Machines that share an API key and a Prefect server: each has a folder for locks of its own."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from constant_contact import MachinePacer
from sandbox import most_in_any_second
from tasks.connection import load_connection
from tasks.locks import key_digest
from tasks.pace import GRANTS_PER_S, shared_pace
from tasks.quota import DailyQuota
from tests.conftest import PrefectServer, World

pytestmark = pytest.mark.alone

# Asks for the turn of all machines and prints when it had it.
PACED = """
import asyncio, sys, time
from pathlib import Path
from constant_contact import MachinePacer
from tasks.pace import shared_pace

file, digest, requests = sys.argv[1:]

async def work():
    machine = MachinePacer(Path(file))
    async with shared_pace(machine, digest, on_trouble=lambda t: print(t, file=sys.stderr)) as pace:
        async def one():
            await pace.acquire()
            print(time.monotonic(), flush=True)
        await asyncio.gather(*(one() for _ in range(int(requests))))

asyncio.run(work())
"""


@pytest.fixture
def api(prefect_server: PrefectServer) -> Iterator[PrefectServer]:
    with temporary_settings({PREFECT_API_URL: prefect_server.api_url}):
        yield prefect_server


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def write_profiles(folder: Path, who: str) -> Path:
    path = folder / f"{who}.parquet"
    pl.DataFrame(
        {
            "CustomerId": [f"c{n}" for n in range(100)],
            "EMail": [f"{who}{n}@example.com" for n in range(100)],
            "Segments": [["Gold"]] * 100,
        }
    ).write_parquet(path)
    return path


def export_on(machine: Path, world: World, profiles: Path, list_id: str) -> tuple[int, str]:
    machine.mkdir(exist_ok=True)
    done = world.commands.run(
        "run", "--connection", world.connection, "--list-id", list_id, "--json",
        "--profiles", profiles, "--segments-column", "Segments", "--segment", "Gold",
        "--email", "EMail",
        TMPDIR=str(machine),
    )  # fmt: skip
    return done.code, done.err


async def spend_access_token(name: str) -> None:
    connection = await load_connection(name)
    connection.access_token_expires_at = 0.0
    await connection.asave(name, overwrite=True)


async def count_used(world: World, folder: Path) -> int:
    """Count as a third machine does, which has sent nothing."""
    digest = key_digest(world.box.api_url, world.box.client_id)
    return await DailyQuota(MachinePacer(folder / "third"), digest, daily=10_000).count_used()


@pytest.mark.usefixtures("api")
def test_two_machines_share_the_pace_the_sign_in_and_the_count(
    world: World, tmp_path: Path
) -> None:
    asyncio.run(spend_access_token(world.connection))
    lists = [world.box.add_list(f"{world.list_id} {n}") for n in range(2)]
    profiles = [write_profiles(tmp_path, f"m{n}-{world.list_id[:8]}-") for n in range(2)]
    begun_with = len(world.box.state.requests())
    with ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(export_on, tmp_path / f"machine-{n}", world, profiles[n], lists[n])
            for n in range(2)
        ]
    for run in runs:
        assert run.result()[0] == 0, run.result()[1]
    requests = world.box.state.requests()[begun_with:]
    assert {one.status for one in requests} <= {200, 201, 202}
    assert most_in_any_second(requests) <= 4
    assert [one.operation for one in requests].count("token") == 1
    sent = sum(one.operation != "token" for one in world.box.state.requests())
    assert asyncio.run(count_used(world, tmp_path)) == sent


def test_processes_of_four_machines_together_keep_to_four_a_second(
    api: PrefectServer, tmp_path: Path
) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PACED, tmp_path / f"machine-{n}", "four", "6"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**api.env(), "PYTHONWARNINGS": "ignore"},
        )
        for n in range(4)
    ]
    starts = []
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert not err
        starts += [float(line) for line in out.splitlines()]
    starts.sort()
    assert len(starts) == 24
    assert min(later - earlier for earlier, later in zip(starts, starts[4:], strict=False)) > 1.0


@pytest.mark.anyio
@pytest.mark.usefixtures("api")
async def test_limit_is_made_where_there_is_none_and_put_right_where_it_was_changed(
    tmp_path: Path,
) -> None:
    name = "segment-export-requests-made"
    machine = MachinePacer(tmp_path / "pace")
    async with get_client() as client:
        for _ in range(2):
            async with shared_pace(machine, "made", on_trouble=pytest.fail) as pace:
                await pace.acquire()
            made = await client.read_global_concurrency_limit_by_name(name)
            assert (made.limit, made.slot_decay_per_second) == (1, GRANTS_PER_S)
            await client.upsert_global_concurrency_limit_by_name(name, 9, 100.0)


@pytest.mark.anyio
@pytest.mark.usefixtures("api")
async def test_limit_that_is_deleted_during_a_run_is_made_again(
    tmp_path: Path,
) -> None:
    machine = MachinePacer(tmp_path / "pace")
    async with (
        get_client() as client,
        shared_pace(machine, "gone", on_trouble=pytest.fail) as pace,
    ):
        await pace.acquire()
        await client.delete_global_concurrency_limit_by_name("segment-export-requests-gone")
        await pace.acquire()
        assert await client.read_global_concurrency_limit_by_name("segment-export-requests-gone")


@pytest.mark.anyio
async def test_pace_is_kept_slowly_when_the_api_is_gone(tmp_path: Path) -> None:
    told: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    begun = time.monotonic()
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}):
        async with shared_pace(
            MachinePacer(tmp_path / "pace"), "none", on_trouble=told.append
        ) as pace:
            starts = []
            for _ in range(3):
                await pace.acquire()
                starts.append(time.monotonic())
    assert starts[0] - begun < 15
    assert min(starts[1] - starts[0], starts[2] - starts[1]) > 1.0
    assert len(told) == 1


@pytest.mark.anyio
@pytest.mark.usefixtures("api")
async def test_count_is_that_of_all_machines_and_survives_an_emptied_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = f"count-{os.getpid()}"
    for name, requests in (("a", 3), ("b", 4)):
        monkeypatch.setattr("tasks.quota.machine_id", lambda name=name: name)
        machine = MachinePacer(tmp_path / name, interval_s=0.001)
        quota = DailyQuota(machine, digest, daily=10)
        for _ in range(requests):
            await machine.acquire()
        await quota.publish()
        await machine.acquire()  # not published yet, but known here
        assert await quota.count_used() == (4 if name == "a" else 3 + 5)
    (tmp_path / "b").unlink()
    assert await DailyQuota(MachinePacer(tmp_path / "b"), digest, daily=10).count_used() == 3 + 4
