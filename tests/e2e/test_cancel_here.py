"""A run of the command line that is cancelled in Prefect's UI stops as by Ctrl-C."""

import json
import signal
from pathlib import Path

import pytest

from sandbox import Fault
from tests.conftest import World
from tests.e2e.running import (
    CONTACTS,
    DAYS,
    Running,
    cancel,
    find_runs,
    options,
    run_export,
    write_profiles,
    write_snapshots,
)
from tests.gate import open_gate
from tests.waiting import PATIENCE_S, wait_for

HANG_S = 300.0  # longer than the test
NOTICED = "Cancelled in Prefect: stopping in good order."


@pytest.fixture
def profiles(world: World, tmp_path: Path) -> Path:
    return write_profiles(world, tmp_path)


def test_cancelled_run_stops_in_good_order_and_is_continued(world: World, profiles: Path) -> None:
    name = f"here-{world.list_id[:8]}"
    before = len(world.box.state.activities())
    world.box.script(Fault("file_import", "delay", when="after", seconds=HANG_S))
    running = run_export(world, profiles, "--name", name)
    wait_for(lambda: len(world.box.state.activities()) > before, "upload")
    (run,) = find_runs(world, name)
    cancel(world, run["id"])
    stopped = running.end()
    assert stopped.code == 1, stopped.err
    assert stopped.err.count(NOTICED) == 1
    document = stopped.document
    assert document["status"] == "incomplete"
    assert [batch["state"] for batch in document["batches"]] == ["unknown"]
    assert document["message"].startswith("The run was stopped.")
    assert "Run the same export again to continue" in document["message"]
    assert json.loads((profiles.parent / "report" / "outcome.json").read_text()) == document
    (run,) = find_runs(world, name)
    assert (run["state"]["type"], run["state"]["message"]) == ("CANCELLED", document["message"])

    world.box.clear_script()
    again = world.export(*options(profiles), "--name", name)
    assert again.code == 0, again.err
    assert [batch["already_accepted"] for batch in again.document["batches"]] == [True]
    assert len(world.members()) == CONTACTS


def test_run_that_is_cancelled_when_all_is_delivered_says_so_and_ends_cancelled(
    world: World, profiles: Path
) -> None:
    name = f"late-{world.list_id[:8]}"
    with open_gate(world.commands.env["PREFECT_API_URL"], '"key":"export-report-') as gate:
        running = run_export(world, profiles, "--name", name, PREFECT_API_URL=gate.api_url)
        assert gate.reached.wait(PATIENCE_S), running.said_in.read_text()
        (run,) = find_runs(world, name)
        cancel(world, run["id"])
        gate.opened.set()
        done = running.end()
    assert done.code == 0, done.err
    assert done.document["status"] == "completed"
    (run,) = find_runs(world, name)
    assert run["state"]["type"] == "CANCELLED"
    assert run["state"]["message"] == done.document["message"]


def test_run_goes_on_where_prefect_does_not_tell_whether_it_is_cancelled(
    world: World, profiles: Path
) -> None:
    before = len(world.box.state.activities())
    world.box.script(Fault("file_import", "duration", seconds=12))
    look = r"GET /api/flow_runs/[0-9a-f-]{36} "  # Prefect itself asks that when a run begins
    with open_gate(world.commands.env["PREFECT_API_URL"], look, is_armed=False) as gate:
        running = run_export(world, profiles, PREFECT_API_URL=gate.api_url)
        wait_for(lambda: len(world.box.state.activities()) > before, "upload")
        gate.armed.set()
        assert gate.reached.wait(PATIENCE_S), running.said_in.read_text()
        done = running.end()
    assert done.code == 0, done.err
    assert done.document["counts"]["imported"] == CONTACTS


def backfill(world: World, folder: Path, name: str, **more_env: str) -> Running:
    write_snapshots(world, folder)
    return Running(
        world,
        "backfill", "--from", DAYS[0], "--to", DAYS[-1], "--keep-going", "--json",
        "--connection", world.connection, "--list-id", world.list_id,
        "--profiles", str(folder / "{as_of}.parquet"), "--segment", "Gold", "--email", "EMail",
        "--first-name", "FirstName", "--report-dir", str(folder / "report"), "--name", name,
        **more_env,
    )  # fmt: skip


@pytest.mark.parametrize("how", ["cancelled in Prefect", "Ctrl-C at its end"])
def test_backfill_does_not_go_on_after_a_run_that_was_stopped(
    world: World, tmp_path: Path, how: str
) -> None:
    name = f"days-{world.list_id[:8]}"
    before = len(world.box.state.activities())
    if how == "cancelled in Prefect":
        world.box.script(Fault("file_import", "delay", occurrence=2, when="after", seconds=HANG_S))
        running = backfill(world, tmp_path, name)
        wait_for(lambda: len(world.box.state.activities()) == before + 2, "second upload")
        cancel(world, find_runs(world, f"{name} {DAYS[1]}")[0]["id"])
        stopped = running.end()
        states = ["delivered", "failed", "not_begun"]
    else:
        with open_gate(world.commands.env["PREFECT_API_URL"], '"key":"export-report-') as gate:
            running = backfill(world, tmp_path, name, PREFECT_API_URL=gate.api_url)
            assert gate.reached.wait(PATIENCE_S), running.said_in.read_text()
            running.stop(signal.SIGINT, says="Stopping in good order")
            gate.opened.set()
            stopped = running.end()
        states = ["delivered", "not_begun", "not_begun"]
    assert stopped.code == 1, stopped.err
    assert [one["state"] for one in stopped.document["snapshots"]] == states
    message = stopped.document["message"]
    assert message.endswith("The run was stopped. Run the same backfill again to go on.")
