"""The Prefect APIs that commands start for themselves, beside each other in one Prefect home."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from cli.embedded import EmbeddedPrefect
from cli.embedded_server import LOCK_FILE, starting_alone
from tests.conftest import Commands, clean_env
from tests.waiting import ask_prefect

SOON_S = 120.0


def wait_until(is_so: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + SOON_S
    while not is_so():
        assert time.monotonic() < give_up_at, "it never came to be"
        time.sleep(0.05)


def waits_for_its_turn(embedded: EmbeddedPrefect) -> bool:
    assert embedded._log is not None
    return b"it waited for another" in os.pread(embedded._log.fileno(), 10_000, 0)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Prefect home that has never been used; servers are started in it."""
    home = tmp_path / "prefect"
    monkeypatch.setenv("PREFECT_HOME", str(home))
    return home


def test_server_waits_while_another_of_its_home_starts_and_ends_with_its_command(
    home: Path,
) -> None:
    with starting_alone(home), EmbeddedPrefect() as embedded:
        server = psutil.Process(embedded.server_pid)
        wait_until(lambda: waits_for_its_turn(embedded))
        assert not (home / "prefect.db").exists()
        assert embedded._process is not None
        assert embedded._process.stdin is not None
        embedded._process.stdin.close()
        server.wait(timeout=3)


def test_server_does_not_wait_for_one_of_another_home(home: Path, tmp_path: Path) -> None:
    with starting_alone(tmp_path / "other"), EmbeddedPrefect():
        wait_until((home / "prefect.db").exists)


def test_server_starts_when_the_one_before_it_is_killed_amid_making_the_database(
    home: Path,
) -> None:
    with EmbeddedPrefect() as first, EmbeddedPrefect() as second:
        wait_until(lambda: waits_for_its_turn(first) or waits_for_its_turn(second))
        waiting, starting = (first, second) if waits_for_its_turn(first) else (second, first)
        wait_until((home / "prefect.db").exists)
        assert starting.server_pid is not None
        os.kill(starting.server_pid, signal.SIGKILL)
        waiting.wait_until_ready()
        answer = ask_prefect(
            "POST",
            f"{waiting.api_url}/block_types/filter",
            auth=httpx.BasicAuth(*waiting.auth_string.split(":", 1)),
            trust_env=False,
        )
        assert "secret" in {kind["slug"] for kind in answer.json()}


def test_lock_of_a_home_is_nobody_elses(home: Path) -> None:
    with starting_alone(home):
        assert (home / LOCK_FILE).stat().st_mode & 0o077 == 0


def test_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "token").write_text("r")
    commands = Commands(clean_env(tmp_path, PREFECT_HOME=str(tmp_path / "file" / "home")), tmp_path)
    done = commands.run(
        "connect", "x", "--client-id", "id", "--refresh-token-file", tmp_path / "token",
        "--accept-data-privacy",
    )  # fmt: skip
    assert done.code == 1
    assert f"its folder {tmp_path / 'file' / 'home'} cannot be written" in done.err
    assert "Set PREFECT_HOME" in done.err
