"""`segment-export up`: everything comes up, an export runs, all is gone, and it starts again."""

import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from cli.up_folder import find_exports
from deployments.export_file import read_exports
from tests.conftest import ROOT
from tests.e2e.bringing_up import Up
from tests.waiting import PATIENCE_S, wait_for

HANG_S = 600.0  # longer than the test


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def bring_up(tmp_path: Path, port: int) -> Iterator[Callable[[], Up]]:
    """Start `up` in one folder, as often as wanted; nothing outlives the test."""
    started: list[Up] = []

    def start() -> Up:
        started.append(Up(tmp_path, port))
        return started[-1]

    yield start
    for up in started:
        up.end()


def gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() for process in processes)


def start_hanging(up: Up) -> str:
    """Start a run, and give it when it hangs in an upload that was accepted."""
    faults = [{"operation": "file_import", "kind": "delay", "when": "after", "seconds": HANG_S}]
    httpx.post(f"{up.sandbox_url}/faults", json=faults, timeout=120).raise_for_status()
    before = count_uploads(up)
    run = up.start_run(again=True)
    wait_for(lambda: count_uploads(up) > before, "another upload")
    return run


def count_uploads(up: Up) -> int:
    answer = httpx.get(f"{up.sandbox_url}/activities", timeout=120)
    return len(answer.raise_for_status().json()["activities"])


def snapshot_marks(up: Up) -> list[str]:
    """What Prefect remembers of the snapshots that lists have got."""
    named = {"name": {"like_": "newest"}}
    answer = httpx.post(f"{up.api_url}/variables/filter", json={"variables": named}, timeout=120)
    return [one["name"] for one in answer.raise_for_status().json()]


@pytest.mark.timeout(1200)
def test_everything_comes_up_runs_stops_and_starts_again(
    bring_up: Callable[[], Up], tmp_path: Path
) -> None:
    first = bring_up()
    first.wait_until_ready()
    assert {"work pool exports: created", "export ad-hoc: created", "connection sandbox: created",
            "export nightly-loyalty: created", "worker: started"} <= set(first.lines)  # fmt: skip
    assert httpx.get(first.api_url.removesuffix("/api"), timeout=120).text.startswith("<!")

    second = bring_up()
    said, _ = second.process.communicate(timeout=PATIENCE_S)
    assert second.process.returncode == 2, said
    assert f"already runs in {tmp_path / 'segment-export-up'}" in said
    assert len(said.splitlines()) == 1

    state = first.end_of(first.start_run())
    assert state["type"] == "COMPLETED", state
    assert state["message"].startswith("Delivered 97,066 contacts to list “Sandbox list”")
    assert httpx.get(first.arrived_url, timeout=120).text.count("\n") == 97_066 + 1

    watched = first.follow("deployment run", tmp_path)
    assert "finished successfully" in watched
    listed = first.follow(" exports", tmp_path)
    assert [line.split()[0] for line in listed.splitlines()[1:]] == ["nightly-loyalty", "ad-hoc"]
    assert "not in the file" not in listed
    assert "Completed" in listed

    assert snapshot_marks(first)

    # A run under way when everything stops ends in good order.
    run = start_hanging(first)
    children = first.descendants()
    assert len(children) >= 3  # server, worker, run
    first.process.send_signal(signal.SIGINT)
    rest, _ = first.process.communicate(timeout=2 * PATIENCE_S)
    assert first.process.returncode == 0, rest
    assert rest.splitlines()[-1].startswith("Stopped.")
    wait_for(lambda: gone(children), "end of all processes")

    third = bring_up()
    third.wait_until_ready()
    assert {"work pool exports: unchanged", "export ad-hoc: unchanged", "worker: started",
            "connection sandbox: unchanged, signed in anew", "sample customers: unchanged",
            "export nightly-loyalty: unchanged"} <= set(third.lines)  # fmt: skip
    assert third.state_of(run)["type"] == "CANCELLED"

    assert snapshot_marks(third) == [], "the sandbox's list is empty again"

    start_hanging(third)
    children = third.descendants()
    assert len(children) >= 3
    third.process.kill()
    wait_for(lambda: gone(children), "end of all processes after kill -9")


def test_port_in_use_is_refused_in_one_line(bring_up: Callable[[], Up], port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        up = bring_up()
        said, _ = up.process.communicate(timeout=PATIENCE_S)
    assert up.process.returncode == 2
    assert f"cannot listen on port {port}" in said
    assert "Choose another --port" in said
    assert len(said.splitlines()) == 1


def test_exports_of_the_current_folder_go_before_the_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert find_exports(tmp_path) == ROOT / "prefect.yaml"
    monkeypatch.chdir(tmp_path)
    examples = find_exports(tmp_path)
    assert [one.name for one in read_exports(examples)] == [
        one.name for one in read_exports(ROOT / "prefect.yaml")
    ]
    examples.write_text("mine")
    assert find_exports(tmp_path).read_text() == "mine"
