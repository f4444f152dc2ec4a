"""A backfill through server, worker and saved export is killed in the middle and goes on."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterTags,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import FlowRun, StateType

from deployments.automations import define_automations
from deployments.heartbeats import FREQUENCY_VARIABLE, HEARTBEAT_S
from pipeline import parse_batch_file_name
from sandbox import Fault
from tests.conftest import ROOT, Finished, PrefectServer, World
from tests.waiting import wait_for

PATIENCE_S = 400.0
HANG_S = 600.0
DAYS = [f"2026-03-{day:02}" for day in range(1, 13)]
MISSING = DAYS[6]
PRESENT = [day for day in DAYS if day != MISSING]
BY_ITSELF = DAYS[:5]  # delivered before, without a backfill: a worker takes seconds a run
KILLED = DAYS[7]  # in whose upload everything is killed
EXPORT = "replay"
BACKFILL = "replay-range"
RANGE = ("--from", DAYS[0], "--to", DAYS[-1])


@pytest.fixture
def saved(world: World, server_client: SyncPrefectClient, tmp_path: Path) -> Iterator[Finished]:
    """A saved export of snapshots in the folder of its file; it is gone afterwards."""
    for day in PRESENT:
        pl.DataFrame(
            {
                "CustomerId": ["a", "b"],
                "EMail": [f"{who}.{world.list_id[:8]}@example.com" for who in "ab"],
                "FirstName": [day] * 2,
                "Segments": [["Gold"]] * 2,
            }
        ).write_parquet(tmp_path / f"{day}.parquet")
    (tmp_path / "flows").symlink_to(ROOT / "flows")
    request = {
        "connection": world.connection,
        "list_id": world.list_id,
        "profiles": "{as_of}.parquet",
        "as_of": DAYS[0],
        "segments": ["Gold"],
        "segments_column": "Segments",
        "email": "EMail",
        "first_name": "FirstName",
        "report_dir": str(tmp_path / "reports"),
    }
    entry = {
        "name": EXPORT,
        "entrypoint": "flows/export_segment.py:export_segment",
        "enforce_parameter_schema": True,
        "concurrency_limit": {"limit": 1, "collision_strategy": "ENQUEUE"},
        "parameters": {"request": request},
        "work_pool": {
            "name": "exports",
            "job_variables": {
                "env": {
                    FREQUENCY_VARIABLE: str(HEARTBEAT_S),
                    "PREFECT_LOGGING_EXTRA_LOGGERS": "segment_export",
                }
            },
        },
    }
    backfill = {
        "name": BACKFILL,
        "entrypoint": "flows/backfill_export.py:backfill_export",
        "enforce_parameter_schema": True,
        "work_pool": entry["work_pool"],
    }
    file = tmp_path / "prefect.yaml"
    file.write_text(yaml.safe_dump({"name": "replay", "deployments": [entry, backfill]}))
    automations = {automation.name for automation in define_automations()}
    try:
        yield world.commands.run("deploy", "--json", "--file", file)
    finally:
        for automation in server_client.read_automations():
            if automation.name in automations:
                server_client.delete_automation(automation.id)
        for name in (f"export-segment/{EXPORT}", f"backfill-export/{BACKFILL}"):
            server_client.delete_deployment(server_client.read_deployment_by_name(name).id)


@pytest.fixture
def worker(prefect_server: PrefectServer) -> Iterator[psutil.Process]:
    process = subprocess.Popen(
        [sys.executable, "-m", "prefect", "worker", "start", "--pool", "exports",
         "--type", "process"],
        env={**prefect_server.env(), "PREFECT_WORKER_QUERY_SECONDS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    )  # fmt: skip
    started = psutil.Process(process.pid)
    yield started
    for child in started.children(recursive=True):
        child.kill()
    process.kill()
    process.wait(timeout=120)


def begin(world: World, *more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "cli.main", "backfill", "--export", EXPORT, *RANGE, "--json", *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=world.commands.env, cwd=world.commands.folder,
    )  # fmt: skip


def finish(process: "subprocess.Popen[str]") -> Finished:
    out, err = process.communicate(timeout=PATIENCE_S)
    return Finished(process.returncode, out, err)


def run_from_form(client: SyncPrefectClient) -> FlowRun:
    """Run the backfill as the form of its deployment does, to its end."""
    deployment = client.read_deployment_by_name(f"backfill-export/{BACKFILL}")
    asked = {"export": EXPORT, "first_date": DAYS[0], "last_date": DAYS[-1]}
    run = client.create_flow_run_from_deployment(deployment.id, parameters={"backfill": asked})

    def look() -> FlowRun | None:
        seen = client.read_flow_run(run.id)
        return seen if seen.state is not None and seen.state.is_final() else None

    ended: FlowRun = wait_for(look, "end of the backfill", PATIENCE_S)
    return ended


def log_of(client: SyncPrefectClient, run: FlowRun) -> str:
    logs = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id])), limit=200)
    return "\n".join(one.message for one in logs)


def runs(client: SyncPrefectClient, tag: str) -> list[FlowRun]:
    tagged = FlowRunFilter(tags=FlowRunFilterTags(all_=[tag]))
    return client.read_flow_runs(flow_run_filter=tagged)


def flow_process(worker: psutil.Process, run: FlowRun) -> psutil.Process:
    """The innermost process that carries out a run."""
    found = None
    for child in worker.children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended since it was listed
            if child.environ().get("PREFECT__FLOW_RUN_ID") == str(run.id):
                found = child
    assert found is not None, f"no process carries out {run.name}"
    return found


def run_by_itself(world: World, here: Callable[..., Finished], day: str) -> Finished:
    return here(
        "run", "--connection", world.connection, "--list-id", world.list_id,
        "--profiles", world.commands.folder / "{as_of}.parquet", "--as-of", day,
        "--segment", "Gold", "--segments-column", "Segments", "--email", "EMail",
        "--first-name", "FirstName", "--report-dir", world.commands.folder / "reports",
    )  # fmt: skip


def states(done: Finished) -> list[str]:
    return [one["state"] for one in done.document["snapshots"]]


@pytest.mark.timeout(1500)
def test_backfill_killed_in_the_middle_goes_on_and_delivers_each_snapshot_once_oldest_first(
    server_client: SyncPrefectClient,
    saved: Finished,
    worker: psutil.Process,
    world: World,
    here: Callable[..., Finished],
) -> None:
    assert saved.code == 0, saved.err
    queue = server_client.read_work_queue_by_name("backfill", work_pool_name="exports")
    default = server_client.read_work_queue_by_name("default", work_pool_name="exports")
    assert queue.concurrency_limit == 1
    assert queue.priority > default.priority

    imported_before = len(world.box.state.activities())

    def accepted() -> list[dict[str, Any]]:
        return world.box.state.activities()[imported_before:]

    for day in BY_ITSELF:
        assert run_by_itself(world, here, day).code == 0
    uploaded = PRESENT.index(KILLED) + 1
    occurrence = uploaded - len(BY_ITSELF)
    hang = Fault("file_import", "delay", occurrence=occurrence, when="after", seconds=HANG_S)
    world.box.script(hang)
    command = begin(world)

    wait_for(
        lambda: len(accepted()) == uploaded or command.poll() is not None, "upload", PATIENCE_S
    )
    assert command.poll() is None, finish(command)
    command.kill()
    finish(command)
    (under_way,) = (
        run for run in runs(server_client, "backfill") if run.state_type is StateType.RUNNING
    )
    hanging = flow_process(worker, under_way)
    hanging.kill()
    world.box.clear_script()

    tag = f"backfill:{finish(begin(world, '--plan')).document['backfill_id']}"
    wait_for(
        lambda: any(run.state_type is StateType.CRASHED for run in runs(server_client, tag)),
        "crashed run",
        PATIENCE_S,
    )
    # What was accepted before the kill is all of that snapshot, whatever became of its run.
    looked = finish(begin(world, "--status"))
    position = DAYS.index(KILLED)
    assert [one["state"] for one in looked.document["snapshots"]] == [
        "missing" if day == MISSING else "delivered" if n <= position else "not_begun"
        for n, day in enumerate(DAYS)
    ]

    resumed = run_from_form(server_client)
    assert resumed.state is not None
    assert resumed.state_type is StateType.FAILED
    assert f"missing: {MISSING}" in str(resumed.state.message)
    last_line = f"Snapshot {DAYS[-1]}: Delivered"  # lines follow the state, a few seconds later
    wait_for(lambda: last_line in log_of(server_client, resumed), last_line)

    again = finish(begin(world, "--allow-missing"))
    assert again.code == 0, again.err
    assert states(again) == ["missing" if day == MISSING else "delivered" for day in DAYS]
    snapshots = {one["date"]: one for one in again.document["snapshots"]}
    names = [activity["source_file_name"] for activity in accepted()]
    assert len(names) == len(set(names)) == len(PRESENT)
    sent = [name.delivery for text in names if (name := parse_batch_file_name(text))]
    assert sent == [snapshots[day]["delivery"] for day in PRESENT]
    assert {member["first_name"] for member in world.members().values()} == {DAYS[-1]}

    made = runs(server_client, tag)
    assert sorted(run.state_type for run in made if run.state_type is not StateType.COMPLETED) == [
        StateType.CRASHED
    ]
    assert len(made) == len(PRESENT) - len(BY_ITSELF)
    assert {run.work_queue_name for run in made} == {"backfill"}
