"""A worker dies by kill -9: its run does not stay Running, and the next run finishes the work."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl
import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.objects import State, StateType

from deployments.automations import apply_automations, define_automations
from deployments.changes import Outcome
from deployments.heartbeats import HEARTBEAT_S
from sandbox import Fault
from tests.conftest import ROOT, Finished, PrefectServer, World
from tests.e2e.clearing import remove_deployed
from tests.waiting import wait_for

# As short as a healthy run bears: it beats every 30 s. In earnest the window is 150 s.
WINDOW_S = HEARTBEAT_S + 10
HANG_S = 300.0  # longer than the test
OPTIONS = ("--segments-column", "Segments", "--segment", "Gold", "--email", "EMail")
NAMES = {automation.name for automation in define_automations()}


@pytest.fixture
def deployed_twice(
    world: World, server_client: SyncPrefectClient
) -> Iterator[tuple[Finished, Finished]]:
    """Our command, twice; what it deployed is gone afterwards, for others share the server."""
    arguments = ("deploy", "--json", "--file", ROOT / "prefect.yaml")
    try:
        yield world.commands.run(*arguments), world.commands.run(*arguments)
    finally:
        remove_deployed(server_client)


def processes_of_session(session: int) -> list[int]:
    return [pid for pid in psutil.pids() if pid != session and session_of(pid) == session]


def session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


@pytest.fixture
def worker(prefect_server: PrefectServer) -> Iterator[psutil.Process]:
    """A worker in a session of its own; whatever it has started ends with the test."""
    process = subprocess.Popen(
        [sys.executable, "-m", "prefect", "worker", "start", "--pool", "exports",
         "--type", "process"],
        env={**prefect_server.env(), "PREFECT_WORKER_QUERY_SECONDS": "2"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        start_new_session=True,
    )  # fmt: skip
    started = psutil.Process(process.pid)
    try:
        yield started
    finally:
        process.kill()
        process.wait(timeout=120)
        for pid in processes_of_session(started.pid):  # a killed worker's runs outlive it
            psutil.Process(pid).kill()


def request_of(world: World, profiles: Path) -> dict[str, Any]:
    return {
        "connection": world.connection,
        "list_id": world.list_id,
        "profiles": str(profiles),
        "segments": ["Gold"],
        "segments_column": "Segments",
        "email": "EMail",
        "report_dir": str(profiles.with_suffix("")),
    }


def write_profiles(folder: Path, who: str) -> Path:
    path = folder / f"{who}.parquet"
    pl.DataFrame(
        {
            "CustomerId": [f"c{n}" for n in range(50)],
            "EMail": [f"{who}-{n}@example.com" for n in range(50)],
            "Segments": [["Gold"]] * 50,
        }
    ).write_parquet(path)
    return path


def export_slowly(world: World, profiles: Path) -> Finished:
    world.box.script(Fault("file_import", "duration", seconds=WINDOW_S + 15))
    elsewhere = world.box.add_list(profiles.stem)
    return world.export(
        "--profiles", profiles, "--name", profiles.stem, *OPTIONS, list_id=elsewhere
    )


def run_saved(client: SyncPrefectClient, request: dict[str, Any]) -> UUID:
    deployment = client.read_deployment_by_name("export-segment/ad-hoc")
    return client.create_flow_run_from_deployment(deployment.id, parameters={"request": request}).id


def state_of(client: SyncPrefectClient, run_id: UUID) -> State[Any]:
    state = client.read_flow_run(run_id).state
    assert state is not None
    return state


def flow_process(worker: psutil.Process, run_id: UUID) -> psutil.Process:
    """The innermost process that carries out a run."""
    *_, found = (
        child
        for child in worker.children(recursive=True)
        if child.environ().get("PREFECT__FLOW_RUN_ID") == str(run_id)
    )
    return found


@pytest.mark.timeout(1200)
def test_run_of_a_dead_worker_ends_crashed_and_the_next_run_finishes_its_work(
    server_client: SyncPrefectClient,
    worker: psutil.Process,
    deployed_twice: tuple[Finished, Finished],
    world: World,
    tmp_path: Path,
) -> None:
    first, second = deployed_twice
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert {change["outcome"] for change in second.document["changes"]} == {"unchanged"}
    on_server = [automation.name for automation in server_client.read_automations()]
    assert sorted(name for name in on_server if name in NAMES) == sorted(NAMES)
    shortened, _ = apply_automations(server_client, define_automations(heartbeat_window_s=WINDOW_S))
    assert shortened.outcome is Outcome.UPDATED

    with ThreadPoolExecutor(1) as beside:
        # A run from the command line works on beyond the window: its import takes that long.
        healthy_name = f"healthy-{world.list_id[:8]}"
        healthy = beside.submit(export_slowly, world, write_profiles(tmp_path, healthy_name))
        wait_for(world.box.state.activities, "first upload")

        # The worker's run hangs in an upload that was accepted, and dies there with the worker.
        world.box.script(Fault("file_import", "delay", when="after", seconds=HANG_S))
        profiles = write_profiles(tmp_path, f"dead-{world.list_id[:8]}")
        dead = run_saved(server_client, request_of(world, profiles))
        wait_for(lambda: len(world.box.state.activities()) > 1, "second upload")
        hanging = flow_process(worker, dead)
        worker.kill()  # before its run, whose death it would report
        hanging.kill()
        assert state_of(server_client, dead).is_running()

        wait_for(lambda: state_of(server_client, dead).is_final(), "end of the dead run")
        state = state_of(server_client, dead)
        assert state.is_crashed()
        assert "run the export again, it continues where it stopped" in (state.message or "")

        again = world.export("--profiles", profiles, *OPTIONS)
        assert healthy.result().code == 0, healthy.result().err

    assert again.code == 0, again.err
    assert again.document["counts"]["sent"] == 50
    assert set(world.members()) == {f"{profiles.stem}-{n}@example.com" for n in range(50)}
    assert [batch["already_accepted"] for batch in again.document["batches"]] == [True]
    names = [activity["source_file_name"] for activity in world.box.state.activities()]
    assert len(names) == len(set(names)) == 2

    (run,) = server_client.read_flow_runs(
        flow_run_filter=FlowRunFilter(name=FlowRunFilterName(like_=healthy_name))
    )
    states = server_client.read_flow_run_states(run.id)
    assert run.total_run_time.total_seconds() > WINDOW_S
    assert [one.type for one in states] == [
        StateType.PENDING,
        StateType.RUNNING,
        StateType.COMPLETED,
    ]
