"""A command that is stopped before there is a run ends at once, whatever it was reading."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.conftest import clean_env

ENDS_WITHIN_S = 60.0


def test_interrupt_ends_a_command_whose_profiles_never_come(tmp_path: Path) -> None:
    pipe = tmp_path / "profiles.csv"
    os.mkfifo(pipe)  # reading from it waits for ever
    process = subprocess.Popen(
        [
            sys.executable, "-m", "cli.main", "run", "--json", "--connection", "c",
            "--list-id", "l", "--profiles", str(pipe), "--segments-column", "Segments",
            "--segment", "Gold", "--email", "EMail",
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=clean_env(tmp_path), cwd=tmp_path,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        assert "starting an embedded one" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=ENDS_WITHIN_S)
    finally:
        process.kill()
    assert process.returncode == 1
    assert json.loads(out)["status"] == "incomplete"
    assert "Run the same command again to continue" in err
    assert "Traceback" not in err
