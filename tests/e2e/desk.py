"""A folder with profiles and a file of exports, and the commands on it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import Finished, PrefectServer, World
from tests.waiting import ask_prefect

Here = Callable[..., Finished]


@dataclass(frozen=True)
class Desk:
    """Where somebody keeps exports."""

    here: Here
    server: PrefectServer
    world: World
    file: Path

    def save(self, name: str, *options: str, list_id: str = "") -> Finished:
        return self.here(
            "save", name, "--file", self.file,
            "--connection", self.world.connection,
            "--list-id", list_id or self.world.list_id,
            "--profiles", "profiles.parquet",
            "--segments-column", "Segments",
            "--segment", "Gold",
            "--email", "EMail",
            *options,
        )  # fmt: skip

    def do(self, *arguments: str) -> str:
        done = self.here(*arguments, "--file", self.file)
        assert done.code == 0, done.err
        return done.out

    def listed(self) -> dict[str, dict[str, Any]]:
        done = self.here("exports", "--file", self.file, "--json")
        assert done.code == 0, done.err
        return {one["name"]: one for one in done.document["exports"]}

    def ask(self, path: str, **body: Any) -> Any:
        return (
            ask_prefect("POST", f"{self.server.api_url}/{path}", json=body)
            .raise_for_status()
            .json()
        )

    def get(self, path: str) -> Any:
        return ask_prefect("GET", f"{self.server.api_url}/{path}").raise_for_status().json()

    def deployment(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"deployments/name/export-segment/{name}")
        return found

    def triggers(self, name: str) -> list[dict[str, Any]]:
        one = self.deployment(name)["id"]
        found: list[dict[str, Any]] = self.get(f"automations/related-to/prefect.deployment.{one}")
        return found

    def runs(self, *names: str) -> list[dict[str, Any]]:
        ids = [self.deployment(name)["id"] for name in names]
        found: list[dict[str, Any]] = self.ask(
            "flow_runs/filter", deployments={"id": {"any_": ids}}, sort="START_TIME_ASC"
        )
        return found

    def planned_runs(self, name: str) -> list[dict[str, Any]]:
        """Ask the scheduler to plan an export's runs now, and give what it has planned."""
        one = self.deployment(name)["id"]
        self.ask(f"deployments/{one}/schedule")
        return [run for run in self.runs(name) if run["state_type"] == "SCHEDULED"]

    @contextmanager
    def worker(self) -> Iterator[None]:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", "exports"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**self.server.env(), "PREFECT_WORKER_QUERY_SECONDS": "1"},
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=120)

    def work_once(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", "exports", "--run-once"],
            capture_output=True, text=True, env=self.server.env(), timeout=180, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
