"""Runs that are stopped end in good order, say what is in, and are continued by running again."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox import Fault
from tests.conftest import Finished, World
from tests.e2e.running import CONTACTS, options, run_export, write_profiles
from tests.waiting import PATIENCE_S, ask_prefect


@pytest.fixture
def profiles(world: World, tmp_path: Path) -> Path:
    return write_profiles(world, tmp_path)


def stop_when(
    world: World, profiles: Path, *, is_time: Callable[[], bool], by: signal.Signals
) -> Finished:
    """Start an export and send it a signal at the right moment."""
    running = run_export(world, profiles)
    give_up_at = time.monotonic() + PATIENCE_S
    while not is_time():
        assert running.process.poll() is None, running.end()
        assert time.monotonic() < give_up_at
        time.sleep(0.05)
    running.process.send_signal(by)
    return running.end()


def uploads(world: World) -> int:
    return len(world.box.state.requests("file_import"))


def last_run(world: World) -> dict[str, Any]:
    answer = ask_prefect(
        "POST",
        f"{world.commands.env['PREFECT_API_URL']}/flow_runs/filter",
        json={
            "flow_runs": {"start_time": {"is_null_": False}},
            "sort": "START_TIME_DESC",
            "limit": 1,
        },
    )
    found: dict[str, Any] = answer.json()[0]
    return found


def accepted(world: World, done: Finished) -> int:
    names = {batch["file_name"] for batch in done.document["batches"]}
    return sum(a["source_file_name"] in names for a in world.box.state.activities())


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_stopped_while_uploading_tells_what_is_not_known_and_continues(
    world: World, profiles: Path, by: signal.Signals
) -> None:
    before = uploads(world)
    world.box.script(Fault(operation="file_import", kind="delay", when="after", seconds=30))
    stopped = stop_when(world, profiles, is_time=lambda: uploads(world) > before, by=by)
    assert stopped.code == 1, stopped.err
    document = stopped.document
    assert document["status"] == "incomplete"
    assert document["counts"]["sent"] == CONTACTS
    assert [batch["state"] for batch in document["batches"]] == ["unknown"]
    assert "1 sent without an answer" in document["message"]
    assert "Run the same export again to continue" in document["message"]
    assert json.loads((profiles.parent / "report" / "outcome.json").read_text()) == document
    state = last_run(world)["state"]
    assert (state["type"], state["message"]) == ("CANCELLED", document["message"])

    world.box.clear_script()
    again = world.export(*options(profiles))
    assert again.code == 0, again.err
    assert len(world.members()) == CONTACTS
    assert accepted(world, again) == 1


def test_stopped_while_waiting_lists_what_is_pending_and_continues(
    world: World, profiles: Path
) -> None:
    world.box.script(Fault(operation="file_import", kind="duration", seconds=8))
    polls = len(world.box.state.requests("activities"))
    stopped = stop_when(
        world,
        profiles,
        is_time=lambda: len(world.box.state.requests("activities")) >= polls + 3,
        by=signal.SIGINT,
    )
    assert stopped.code == 1, stopped.err
    (batch,) = stopped.document["batches"]
    assert batch["state"] in {"initialized", "processing"}
    assert batch["activity_id"]
    assert "1 still being imported" in stopped.document["message"]
    again = world.export(*options(profiles))
    assert again.code == 0, again.err
    assert [b["already_accepted"] for b in again.document["batches"]] == [True]
    assert len(world.members()) == CONTACTS
    assert accepted(world, again) == 1


def test_killed_while_its_job_is_not_shown_yet_sends_nothing_twice(
    world: World, profiles: Path
) -> None:
    before = uploads(world)
    world.box.script(
        Fault(operation="file_import", kind="hidden", seconds=12),
        Fault(operation="file_import", kind="delay", when="after", seconds=30),
    )
    killed = stop_when(
        world,
        profiles,
        is_time=lambda: len(world.box.state.activities()) > 0 and uploads(world) > before,
        by=signal.SIGKILL,
    )
    assert killed.code == -signal.SIGKILL
    world.box.clear_script()
    again = world.export(*options(profiles))
    assert again.code == 0, again.err
    assert any("was cut off while it was sending" in note for note in again.document["notes"])
    assert [batch["already_accepted"] for batch in again.document["batches"]] == [True]
    assert len(world.members()) == CONTACTS
    assert accepted(world, again) == 1
