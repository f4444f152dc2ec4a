"""The real command and a sandbox of its own process, for measurements of whole exports."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.inputs import Inputs

COMMAND = str(Path(sys.executable).with_name("segment-export"))
CONNECTION = "benchmark"
STOP_TIMEOUT_S = 10
DUMP_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What `segment-export sandbox --json` said of itself."""

    place: dict[str, Any]

    @property
    def list_ids(self) -> list[str]:
        """Give the contact lists, in the order in which they were asked for."""
        return [str(list_id) for list_id in self.place["lists"].values()]

    def count_members(self, list_id: str) -> int:
        """Count the contacts that a list holds, from its own dump."""
        with self._open(f"lists/{list_id}/contacts") as lines:
            return sum(1 for _ in lines) - 1  # the header

    def requests(self) -> dict[str, Any]:
        """Read which requests arrived, and when."""
        with self._open("requests") as answer:
            document: dict[str, Any] = json.load(answer)
        return document

    def _open(self, path: str) -> Any:
        url = f"{self.place['admin_url']}/{path}"
        return urllib.request.urlopen(url, timeout=DUMP_TIMEOUT_S)  # noqa: S310 -- loopback


def make_environment(private: Path, prefect_api_url: str = "") -> dict[str, str]:
    """Give commands a Prefect home and a temporary folder of their own.

    So nobody's set-up is in the figures, and no other run on this machine shares their pace.
    """
    temporary = private / "tmp"
    temporary.mkdir()
    env = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    env |= {"PREFECT_HOME": str(private / "prefect"), "TMPDIR": str(temporary)}
    if prefect_api_url:
        env["PREFECT_API_URL"] = prefect_api_url
    return env


@contextmanager
def running_sandbox(folder: Path, lists: Sequence[str]) -> Iterator[Sandbox]:
    """Run a sandbox with these lists in a process of its own."""
    command = [COMMAND, "sandbox", "--json", "--port", "0", "--folder", str(folder)]
    for name in lists:
        command += ["--list", name]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            if process.stdout is None:
                raise RuntimeError("The sandbox has no output.")
            yield Sandbox(json.loads(process.stdout.readline()))
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process kindly, and for sure."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()


def connect_command(sandbox: Sandbox) -> list[str]:
    """Give the command that makes the connection to a sandbox, or makes it anew."""
    command = [COMMAND, "connect", CONNECTION, "--json", "--accept-data-privacy"]
    for name in ("client_id", "client_secret_file", "refresh_token_file", "api_url", "auth_url"):
        command += [f"--{name.replace('_', '-')}", sandbox.place[name]]
    return command


def run_command(list_id: str, inputs: Inputs, report_dir: Path) -> list[str]:
    """Give the command that delivers the made-up customers to a list."""
    options = {
        "--connection": CONNECTION,
        "--list-id": list_id,
        "--profiles": str(inputs.profiles),
        "--segments-column": "Segments",
        "--segment": "Loyalty_High",
        "--email": "EMail",
        "--first-name": "FirstName",
        "--last-name": "LastName",
        "--max-profiles": str(inputs.rows),
        "--report-dir": str(report_dir),
    }
    return [COMMAND, "run", "--json", *(part for option in options.items() for part in option)]
