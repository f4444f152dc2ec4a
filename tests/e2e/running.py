"""An export in a process of its own that is stopped on its way."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl

from tests.conftest import Finished, World
from tests.waiting import PATIENCE_S, ask_prefect, wait_for

CONTACTS = 50
DAYS = ("2026-03-01", "2026-03-02", "2026-03-03")


def write_profiles(world: World, folder: Path) -> Path:
    path = folder / "profiles.parquet"
    pl.DataFrame(
        {
            "CustomerId": [f"c{n}" for n in range(CONTACTS)],
            "EMail": [f"p{n}.{world.list_id[:8]}@example.com" for n in range(CONTACTS)],
            "Segments": [["Gold"]] * CONTACTS,
        }
    ).write_parquet(path)
    return path


def write_snapshots(world: World, folder: Path) -> None:
    for day in DAYS:
        pl.DataFrame(
            {
                "CustomerId": ["a"],
                "EMail": [f"a.{world.list_id[:8]}@example.com"],
                "FirstName": [day],
                "Segments": [["Gold"]],
            }
        ).write_parquet(folder / f"{day}.parquet")


def options(profiles: Path) -> list[str]:
    return [
        "--profiles", str(profiles), "--segment", "Gold", "--email", "EMail",
        "--report-dir", str(profiles.parent / "report"),
    ]  # fmt: skip


class Running:
    """The command `run`, and what it has said so far on standard error."""

    def __init__(self, world: World, *arguments: str, **more_env: str) -> None:
        self.said_in = world.commands.folder / "said"
        with self.said_in.open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", *arguments],
                stdout=subprocess.PIPE, stderr=said, text=True,
                env={**world.commands.env, **more_env}, cwd=world.commands.folder,
            )  # fmt: skip

    def said(self, words: str) -> bool:
        return words in self.said_in.read_text()

    def stop(self, by: signal.Signals, *, says: str) -> None:
        """Send a signal, and wait until it has been heard."""
        self.process.send_signal(by)
        wait_for(lambda: self.said(says) or self.process.poll() is not None, says)

    def end(self) -> Finished:
        try:
            out, _ = self.process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, _ = self.process.communicate()
            raise AssertionError(f"it did not end: {self.said_in.read_text()}") from None
        return Finished(self.process.returncode, out, self.said_in.read_text())


def run_export(world: World, profiles: Path, *more: str, **more_env: str) -> Running:
    return Running(
        world,
        "run", "--connection", world.connection, "--list-id", world.list_id, "--json",
        *options(profiles), *more, **more_env,
    )  # fmt: skip


def find_runs(world: World, name: str) -> list[dict[str, Any]]:
    """Find the flow runs whose name holds something, the newest first."""
    answer = ask_prefect(
        "POST",
        f"{world.commands.env['PREFECT_API_URL']}/flow_runs/filter",
        json={"flow_runs": {"name": {"like_": name}}, "sort": "START_TIME_DESC"},
    )
    found: list[dict[str, Any]] = answer.json()
    return found


def cancel(world: World, run_id: str) -> None:
    """Do what the button “Cancel” of Prefect's UI does."""
    ask_prefect(
        "POST",
        f"{world.commands.env['PREFECT_API_URL']}/flow_runs/{run_id}/set_state",
        json={"state": {"type": "CANCELLING", "name": "Cancelling"}},
    ).raise_for_status()
