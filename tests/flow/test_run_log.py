"""What a run's log shows of a plain refusal: its sentence, and never a traceback."""

import uuid
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterName,
    LogFilter,
    LogFilterFlowRunId,
    TaskRunFilter,
    TaskRunFilterFlowRunId,
)
from prefect.client.schemas.objects import StateType, TaskRun

from sandbox import Fault
from tests.conftest import Finished, World
from tests.waiting import wait_for


@pytest.fixture
def run(world: World, tmp_path: Path) -> Callable[..., Finished]:
    """The command with the console log that a worker's runs have."""
    frame = pl.DataFrame(
        {
            "CustomerId": ["a"],
            "EMail": [f"a.{world.list_id[:8]}@example.com"],
            "Segments": [["Gold"]],
        }
    )
    frame.write_parquet(tmp_path / "profiles.parquet")
    options = {
        "--connection": world.connection, "--list-id": world.list_id, "--segment": "Gold",
        "--profiles": "profiles.parquet", "--email": "EMail",
    }  # fmt: skip

    def run_with(name: str, changes: dict[str, str]) -> Finished:
        arguments = [part for pair in {**options, **changes}.items() for part in pair]
        return world.commands.run(
            "run", "--name", name, *arguments, PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL="INFO"
        )

    return run_with


@pytest.mark.parametrize(
    ("changes", "fault", "words"),
    [
        ({"--list-id": str(uuid.UUID(int=7))}, None, "list"),
        ({"--connection": "no-such-connection"}, None, "no-such-connection"),
        ({"--email": "NoSuchColumn"}, None, "NoSuchColumn"),
        ({"--segment": "NoSuchSegment"}, None, "NoSuchSegment"),
        ({"--profiles": "no-such-file.parquet"}, None, "no-such-file.parquet"),
        ({}, Fault("file_import", "status", status=400, repeat=50), "refuse"),
        ({}, Fault("list", "status", status=401, repeat=50), "connect again"),
    ],
    ids=["list", "connection", "column", "segment", "file", "upload", "sign-in"],
)
def test_log_of_a_refused_run_has_its_sentence_and_no_traceback(
    server_client: SyncPrefectClient,
    world: World,
    run: Callable[..., Finished],
    changes: dict[str, str],
    fault: Fault | None,
    words: str,
) -> None:
    if fault is not None:
        world.box.script(fault)
    name = f"refused {uuid.uuid4()}"
    refused = run(name, changes)
    assert refused.code != 0
    assert words in refused.err
    (flow_run,) = server_client.read_flow_runs(
        flow_run_filter=FlowRunFilter(name=FlowRunFilterName(like_=name))
    )
    logged = server_client.read_logs(
        LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run.id])), limit=200
    )
    assert any(words in record.message for record in logged)
    for told in (refused.out, refused.err, *(record.message for record in logged)):
        assert "Traceback" not in told
        assert "NoneType" not in told

    def failed_tasks() -> list[TaskRun]:
        tasks = server_client.read_task_runs(
            task_run_filter=TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=[flow_run.id]))
        )
        return [task for task in tasks if task.state_type is StateType.FAILED]

    if "--connection" in changes:  # which is opened before the first task
        assert failed_tasks() == []
        return
    for task in wait_for(failed_tasks, "failed task"):
        assert task.state is not None
        assert words in (task.state.message or "")
        assert "encountered" not in (task.state.message or "")
