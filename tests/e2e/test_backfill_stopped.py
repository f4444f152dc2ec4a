"""A backfill that is stopped with Ctrl-C or SIGTERM ends in good order, and alarms nobody."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterName,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import StateType

from flows.export_segment import export_segment
from sandbox import Fault
from tests.conftest import Finished, World
from tests.e2e.running import DAYS, cancel, write_snapshots
from tests.waiting import PATIENCE_S

HANG_S = 600.0
POOL = "stopped-backfills"
EXPORT = "stopped"


def wait_for(look: Callable[[], object], command: "subprocess.Popen[str]") -> None:
    give_up_at = time.monotonic() + PATIENCE_S
    while not look():
        assert command.poll() is None, command.communicate()
        assert time.monotonic() < give_up_at
        time.sleep(0.2)


def test_ctrl_c_stops_the_export_under_way_and_tells_what_is_delivered(
    world: World, tmp_path: Path
) -> None:
    write_snapshots(world, tmp_path)
    before = len(world.box.state.activities())
    world.box.script(Fault("file_import", "delay", occurrence=2, when="after", seconds=HANG_S))
    command = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "backfill", "--from", DAYS[0], "--to", DAYS[-1],
         "--connection", world.connection, "--list-id", world.list_id,
         "--profiles", tmp_path / "{as_of}.parquet", "--segment", "Gold", "--email", "EMail",
         "--first-name", "FirstName", "--report-dir", tmp_path / "report", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=world.commands.env, cwd=world.commands.folder,
    )  # fmt: skip
    wait_for(lambda: len(world.box.state.activities()) == before + 2, command)
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=PATIENCE_S)
    stopped = Finished(command.returncode, out, err)
    assert stopped.code == 1, err
    assert [one["state"] for one in stopped.document["snapshots"]] == [
        "delivered", "failed", "not_begun",
    ]  # fmt: skip
    assert "The run was stopped." in stopped.document["message"]
    assert "Traceback" not in err


@pytest.fixture
def saved(server_client: SyncPrefectClient, world: World, tmp_path: Path) -> Iterator[None]:
    """A saved export whose runs no worker takes."""
    write_snapshots(world, tmp_path)
    server_client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
    server_client.create_work_queue(name="backfill", work_pool_name=POOL)
    request = {
        "connection": world.connection,
        "list_id": world.list_id,
        "profiles": str(tmp_path / "{as_of}.parquet"),
        "as_of": DAYS[0],
        "segments": ["Gold"],
        "email": "EMail",
        "segments_column": "Segments",
        "report_dir": str(tmp_path / "reports"),
    }
    deployment = server_client.create_deployment(
        flow_id=server_client.create_flow(export_segment),
        name=EXPORT,
        work_pool_name=POOL,
        parameters={"request": request},
        enforce_parameter_schema=False,
    )
    yield
    server_client.delete_deployment(deployment)
    server_client.delete_work_pool(POOL)


@pytest.mark.usefixtures("saved")
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "cancelled in Prefect"])
def test_backfill_of_a_worker_that_is_stopped_ends_cancelled_saying_what_goes_on(
    server_client: SyncPrefectClient, world: World, how: str
) -> None:
    of_this = DeploymentFilter(name=DeploymentFilterName(any_=[EXPORT]))
    said = world.commands.folder / "said"
    with said.open("w") as err:
        command = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "backfill", "--export", EXPORT, "--json",
             "--from", DAYS[0], "--to", DAYS[-1]],
            stdout=subprocess.PIPE, stderr=err, text=True,
            env={**world.commands.env, "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO"},
            cwd=world.commands.folder,
        )  # fmt: skip
    wait_for(lambda: f"Snapshot {DAYS[0]}: run " in said.read_text(), command)
    named = FlowRunFilterName(any_=[f"{EXPORT} {DAYS[0]} to {DAYS[-1]}"])
    if how.startswith("SIG"):
        command.send_signal(signal.Signals[how])
    else:
        runs = server_client.read_flow_runs(flow_run_filter=FlowRunFilter(name=named))
        (under_way,) = (run for run in runs if run.state_type is StateType.RUNNING)
        cancel(world, str(under_way.id))
    out, _ = command.communicate(timeout=PATIENCE_S)
    stopped = Finished(command.returncode, out, said.read_text())
    assert stopped.code == 1, stopped.err
    message = stopped.document["message"]
    assert message.startswith("0 of 3 snapshots are delivered")
    (left,) = server_client.read_flow_runs(deployment_filter=of_this)
    assert f"was stopped; its run {left.name} is a worker's, and goes on." in message
    assert message.endswith("Run the same backfill again to go on.")
    assert left.state_type is StateType.SCHEDULED

    runs = server_client.read_flow_runs(flow_run_filter=FlowRunFilter(name=named))
    parent = max(runs, key=lambda run: run.created)  # type: ignore[arg-type,return-value]  # it has been created
    assert parent.state is not None
    assert (parent.state_type, parent.state.message) == (StateType.CANCELLED, message)
    logged = server_client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[parent.id])))
    assert logged
    for told in (stopped.err, *(record.message for record in logged)):
        assert "Traceback" not in told
