"""Real parts: a Prefect server, the command in a process of its own, the sandbox on a socket."""

import gc
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

import sandbox
from cli.main import main
from cli.prefect_api import send_what_is_queued
from sandbox import SandboxSettings
from tests.forking import start_command

ROOT = Path(__file__).parents[1]
SERVER_START_S = 120.0
COMMAND_TIMEOUT_S = 180.0
FLAGGED = "flagged@example.com"  # an address that the service takes for invalid

# How long an example takes says more of the machine than of the code.
hypothesis_settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if ROOT / "tests" / "e2e" in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.out)
        return parsed


@dataclass(frozen=True)
class Commands:
    """The `segment-export` command in an environment of its own, in a process each time.

    `is_anew`: as a person starts it, with all of its imports; else forked, which saves seconds.
    """

    env: dict[str, str]
    folder: Path
    is_anew: bool = False

    def run(self, *arguments: str | Path, **more_env: str) -> Finished:
        words, env = list(map(str, arguments)), {**self.env, **more_env}
        return self._run_anew(words, env) if self.is_anew else self._run_forked(words, env)

    def _run_anew(self, words: list[str], env: dict[str, str]) -> Finished:
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", *words],
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            env=env,
            cwd=self.folder,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def _run_forked(self, words: list[str], env: dict[str, str]) -> Finished:
        with tempfile.TemporaryDirectory() as name:
            out, err = Path(name) / "out", Path(name) / "err"
            process = start_command(words, env, self.folder, out, err)
            process.join(COMMAND_TIMEOUT_S)
            if process.exitcode is None:
                process.kill()
                process.join()
                raise AssertionError(
                    f"{words} did not end: {out.with_suffix('.stacks').read_text()}"
                )
            return Finished(process.exitcode, out.read_text(), err.read_text())


def clean_env(home: Path, **more: str) -> dict[str, str]:
    """An environment without any Prefect setting but those given."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "SEGMENT_"))}
    return {
        **kept,
        "HOME": str(home),
        "PREFECT_HOME": str(home / ".prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        **more,
    }


@dataclass(frozen=True)
class PrefectServer:
    """A Prefect server with its scheduler, as `prefect server start` runs it."""

    api_url: str
    home: Path
    log: Path

    def env(self) -> dict[str, str]:
        return clean_env(self.home, PREFECT_API_URL=self.api_url)


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    home = tmp_path_factory.mktemp("prefect-server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = home / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1",
             "--port", str(port)],
            stdout=output,
            stderr=output,
            env=clean_env(home),
        )  # fmt: skip
        server = PrefectServer(f"http://127.0.0.1:{port}/api", home, log)
        try:
            wait_until_healthy(server)
            yield server
        finally:
            send_what_is_queued()
            process.terminate()
            process.wait(timeout=120)


@pytest.fixture
def server_client(prefect_server: PrefectServer) -> Iterator[SyncPrefectClient]:
    with (
        temporary_settings({PREFECT_API_URL: prefect_server.api_url}),
        get_client(sync_client=True) as client,
    ):
        yield client


def wait_until_healthy(server: PrefectServer) -> None:
    give_up_at = time.monotonic() + SERVER_START_S
    while time.monotonic() < give_up_at:
        try:
            if httpx.get(f"{server.api_url}/health", timeout=5).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise AssertionError(f"Prefect's server did not start: {server.log.read_text()[-2000:]}")


@dataclass
class World:
    """A sandbox with one list, a connection to it, and the command."""

    box: sandbox.Box
    commands: Commands
    connection: str
    list_id: str
    run_here: Callable[..., Finished] | None = None

    def export(self, *arguments: str | Path, list_id: str = "", connection: str = "") -> Finished:
        return (self.run_here or self.commands.run)(
            "run",
            "--connection", connection or self.connection,
            "--list-id", list_id or self.list_id,
            "--json",
            *arguments,
        )  # fmt: skip

    def members(self) -> dict[str, dict[str, str]]:
        return self.box.state.members(self.list_id)


@contextmanager
def using_prefect(api_url: str) -> Iterator[None]:
    """Use a Prefect API in this process."""
    with warnings.catch_warnings(), temporary_settings({PREFECT_API_URL: api_url}):
        # Prefect's clients leave their sockets to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


@pytest.fixture
def here(
    connected: World, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Finished]:
    """The command in this process: the same code, without two seconds of imports each time."""

    def run(*arguments: str | Path) -> Finished:
        monkeypatch.setattr(sys, "argv", ["segment-export", *map(str, arguments)])
        for name, value in connected.commands.env.items():
            monkeypatch.setenv(name, value)
        capfd.readouterr()
        with using_prefect(connected.commands.env["PREFECT_API_URL"]):
            try:
                main()
                code = 0
            except SystemExit as stop:
                code = int(stop.code or 0)
        out, err = capfd.readouterr()
        return Finished(code, out, err)

    return run


def connect(commands: Commands, box: sandbox.Box, name: str, folder: Path, *more: str) -> Finished:
    secret, token = folder / "client-secret", folder / "refresh-token"
    secret.write_text(box.client_secret)
    token.write_text(box.refresh_token + "\n")
    return commands.run(
        "connect", name,
        "--client-id", box.client_id,
        "--client-secret-file", secret,
        "--refresh-token-file", token,
        "--api-url", box.api_url,
        "--auth-url", box.auth_url,
        "--accept-data-privacy",
        *more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def connected(
    prefect_server: PrefectServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A sandbox and a connection that the tests of one file share; each makes its own list."""
    folder = tmp_path_factory.mktemp("connected")
    commands = Commands(prefect_server.env(), folder)
    name = f"box-{folder.name}"
    with sandbox.running(SandboxSettings(abused_addresses=frozenset({FLAGGED}))) as box:
        done = connect(commands, box, name, folder)
        assert done.code == 0, done.err
        yield World(box, commands, name, "")


@pytest.fixture
def world(connected: World, tmp_path: Path, request: pytest.FixtureRequest) -> World:
    """The shared sandbox with a list of the test's own and no faults."""
    connected.box.clear_script()
    return World(
        connected.box,
        Commands(connected.commands.env, tmp_path),
        connected.connection,
        connected.box.add_list(f"List of {request.node.name}"),
    )


@pytest.fixture(scope="session")
def sample() -> Path:
    """Microsoft's published sample, beside the project."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        assert "CI" not in os.environ, "CI has the sample data in ../shared/data"
        pytest.skip("Microsoft's sample data is not in ../shared/data")
    return folder
