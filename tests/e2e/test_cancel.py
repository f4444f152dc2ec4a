"""A run that is cancelled in Prefect's UI tells what is known, and the same export finishes it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
)
from prefect.client.schemas.objects import State, StateType

from sandbox import Fault
from tests.conftest import ROOT, PrefectServer, World
from tests.e2e.running import CONTACTS, write_profiles
from tests.waiting import wait_for

HANG_S = 300.0  # longer than the test
OPTIONS = ("--segments-column", "Segments", "--segment", "Gold", "--email", "EMail")


@pytest.fixture
def ad_hoc(prefect_server: PrefectServer, server_client: SyncPrefectClient) -> UUID:
    """The saved export that is run with whatever request one gives."""
    subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "work-pool", "create", "exports",
         "--type", "process", "--overwrite"],
        env=prefect_server.env(), cwd=ROOT, capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--name", "ad-hoc"],
        env=prefect_server.env(), cwd=ROOT, capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    return server_client.read_deployment_by_name("export-segment/ad-hoc").id


@pytest.fixture
def worker(prefect_server: PrefectServer) -> Iterator[None]:
    """A worker; whatever it has started ends with the test."""
    process = subprocess.Popen(
        [sys.executable, "-m", "prefect", "worker", "start", "--pool", "exports",
         "--type", "process"],
        env={**prefect_server.env(), "PREFECT_WORKER_QUERY_SECONDS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    )  # fmt: skip
    yield
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait(timeout=120)
    for child in children:
        if child.is_running():
            child.kill()


@pytest.fixture
def profiles(world: World, tmp_path: Path) -> Path:
    return write_profiles(world, tmp_path)


@pytest.mark.usefixtures("worker")
def test_cancelled_run_tells_what_is_known_and_the_next_one_finishes_it(
    server_client: SyncPrefectClient,
    ad_hoc: UUID,
    world: World,
    profiles: Path,
) -> None:
    report = profiles.parent / "report"
    world.box.script(Fault("file_import", "delay", when="after", seconds=HANG_S))
    run_id = server_client.create_flow_run_from_deployment(
        ad_hoc,
        parameters={
            "request": {
                "connection": world.connection,
                "list_id": world.list_id,
                "profiles": str(profiles),
                "segments": ["Gold"],
                "segments_column": "Segments",
                "email": "EMail",
                "report_dir": str(report),
            }
        },
    ).id
    wait_for(world.box.state.activities, "upload")

    # What the button "Cancel" of the UI does.
    server_client.set_flow_run_state(run_id, State(type=StateType.CANCELLING))

    def read_end() -> State[Any] | None:
        state = server_client.read_flow_run(run_id).state
        return state if state is not None and state.is_final() else None

    end = wait_for(read_end, "end of the cancelled run")
    outcome = json.loads((report / "outcome.json").read_text())
    assert end.is_cancelled()
    assert outcome["status"] == "incomplete"
    assert "Run the same export again to continue" in outcome["message"]
    assert [batch["state"] for batch in outcome["batches"]] == ["unknown"]
    (artifact,) = server_client.read_artifacts(
        artifact_filter=ArtifactFilter(
            flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]),
            key=ArtifactFilterKey(any_=["export-report-ad-hoc"]),
        )
    )
    assert outcome["message"] in str(artifact.data)
    (history,) = server_client.read_artifacts(
        artifact_filter=ArtifactFilter(
            flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]),
            key=ArtifactFilterKey(any_=["export-history-ad-hoc"]),
        )
    )
    assert [line["result"] for line in json.loads(str(history.data))][:1] == ["stopped"]

    def read_ends() -> set[str]:
        wanted = {"filter": {"related": {"id": [f"prefect.flow-run.{run_id}"]}}}
        told = server_client.request("POST", "/events/filter", json=wanted).json()["events"]
        names = {one["event"].removeprefix("segment-export.run.") for one in told}
        return names & {"delivered", "degraded", "failed", "stopped", "recovered"}

    assert wait_for(read_ends, "event that the run has ended") == {"stopped"}

    world.box.clear_script()
    again = world.export("--profiles", profiles, *OPTIONS)
    assert again.code == 0, again.err
    assert [batch["already_accepted"] for batch in again.document["batches"]] == [True]
    assert len(world.members()) == CONTACTS
    assert len(world.box.state.activities()) == 1
