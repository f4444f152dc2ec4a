"""A backfill in the command's own process that is stopped with Ctrl-C ends in good order."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl

from sandbox import Fault
from tests.conftest import Finished, World

DAYS = ("2026-03-01", "2026-03-02", "2026-03-03")
PATIENCE_S = 150.0
HANG_S = 600.0


def test_ctrl_c_stops_the_export_under_way_and_tells_what_is_delivered(
    world: World, tmp_path: Path
) -> None:
    for day in DAYS:
        pl.DataFrame(
            {
                "CustomerId": ["a"],
                "EMail": [f"a.{world.list_id[:8]}@example.com"],
                "FirstName": [day],
                "Segments": [["Gold"]],
            }
        ).write_parquet(tmp_path / f"{day}.parquet")
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
    give_up_at = time.monotonic() + PATIENCE_S
    while len(world.box.state.activities()) < before + 2:
        assert command.poll() is None, command.communicate()
        assert time.monotonic() < give_up_at
        time.sleep(0.2)
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=PATIENCE_S)
    stopped = Finished(command.returncode, out, err)
    assert stopped.code == 1, err
    assert [one["state"] for one in stopped.document["snapshots"]] == [
        "delivered", "failed", "not_begun",
    ]  # fmt: skip
    assert "The run was stopped." in stopped.document["message"]
    assert "Traceback" not in err
