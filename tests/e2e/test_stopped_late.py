"""A run that is stopped when all is delivered tells so: its outcome does not get lost."""

import json
import signal
from pathlib import Path

import pytest

from tests.conftest import World
from tests.e2e.running import CONTACTS, find_runs, run_export, write_profiles
from tests.gate import open_gate
from tests.waiting import PATIENCE_S

REPORT = '"key":"export-report-'
PROGRESS = '"data":"?100'
END = '"type":"COMPLETED"'


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM], ids=lambda by: by.name)
@pytest.mark.parametrize("moment", [REPORT, PROGRESS, END], ids=["report", "progress", "end"])
def test_run_that_is_stopped_while_it_reports_tells_what_was_delivered(
    world: World, tmp_path: Path, moment: str, by: signal.Signals
) -> None:
    profiles = write_profiles(world, tmp_path)
    name = f"late-{world.list_id[:8]}"
    with open_gate(world.commands.env["PREFECT_API_URL"], moment) as gate:
        running = run_export(world, profiles, "--name", name, PREFECT_API_URL=gate.api_url)
        assert gate.reached.wait(PATIENCE_S), running.said_in.read_text()
        running.stop(by, says="Stopping in good order")
        gate.opened.set()
        done = running.end()
    assert done.code == 0, done.err
    assert done.document["status"] == "completed"
    assert done.document["counts"]["imported"] == CONTACTS
    assert json.loads((tmp_path / "report" / "outcome.json").read_text()) == done.document
    (run,) = find_runs(world, name)
    state = run["state"]
    assert (state["type"], state["message"]) == ("COMPLETED", done.document["message"])
