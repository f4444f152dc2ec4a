"""A running `segment-export up`, for the tests that need the whole of it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from cli.up import RUNS_END_VARIABLE
from tests.conftest import clean_env
from tests.waiting import PATIENCE_S, ask_prefect, wait_for


class Up:
    """A running `segment-export up`, and what it says."""

    def __init__(self, folder: Path, port: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "up", "--port", str(port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # On a busy machine a run takes its time to end in good order.
            env={**clean_env(folder), RUNS_END_VARIABLE: str(PATIENCE_S)},
            cwd=folder,
        )
        self.lines: list[str] = []
        self.ui_url = f"http://127.0.0.1:{port}"
        self.api_url = f"{self.ui_url}/api"

    def wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if "what has arrived" in line:
                return
        raise AssertionError("\n".join(self.lines))

    @property
    def arrived_url(self) -> str:
        return self.lines[-1].split()[-1]

    @property
    def sandbox_url(self) -> str:
        return self.arrived_url.partition("/lists/")[0]

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def start_run(self, **settings: Any) -> str:
        answer = ask_prefect("GET", f"{self.api_url}/deployments/name/export-segment/ad-hoc")
        deployment = answer.raise_for_status().json()
        request = {**deployment["parameters"]["request"], **settings}
        answer = ask_prefect(
            "POST",
            f"{self.api_url}/deployments/{deployment['id']}/create_flow_run",
            json={"parameters": {"request": request}},
        )
        return str(answer.raise_for_status().json()["id"])

    def state_of(self, run: str) -> dict[str, Any]:
        answer = ask_prefect("GET", f"{self.api_url}/flow_runs/{run}").raise_for_status()
        state: dict[str, Any] = answer.json()["state"]
        return state

    def end_of(self, run: str) -> dict[str, Any]:
        def final() -> dict[str, Any] | None:
            state = self.state_of(run)
            is_final = state["type"] in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
            return state if is_final else None

        state: dict[str, Any] = wait_for(final, "end of the run")
        return state

    def follow(self, words: str, folder: Path) -> str:
        """Carry out the one of its hints that holds these words, as a person would."""
        hints = self.lines[next(at for at, line in enumerate(self.lines) if "terminal" in line) :]
        (environment,) = (line.partition("terminal")[2] for line in hints if "export PREF" in line)
        (command,) = (line for line in hints if words in line)
        done = subprocess.run(
            ["/bin/sh", "-c", f"{environment}\n{command}"],
            capture_output=True,
            text=True,
            env=clean_env(folder),
            cwd=folder,
            timeout=2 * PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def end(self) -> None:
        """End it and whatever it has started, at once."""
        if self.process.poll() is None:
            for process in self.descendants():
                process.kill()
            self.process.kill()
        self.process.communicate()
