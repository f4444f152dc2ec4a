"""The command in processes of its own, forked from one that has imported everything already.

Each run is a process that can be killed like any other, without two seconds of imports.
"""

import atexit
import ctypes
import faulthandler
import gc
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from cli.prefect_api import QUIET_PREFECT
from tests.conftest import PrefectServer, clean_env, wait_until_healthy

PRELOADED = ["cli.main", "cli.run", "cli.connect", "flows.export_segment"]
MOST_SAVES = 5
RUN_TIMEOUT_S = 300.0
STACKS_AFTER_S = 120.0  # what it is doing then is told if it does not end
KIB = 1024

fork = multiprocessing.get_context("forkserver")


@dataclass(frozen=True, slots=True)
class Ended:
    """A process of the command that has ended; `code` is negative where a signal ended it."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process holds after one export."""

    rss_kib: int
    open_files: int


@dataclass(slots=True)
class Running:
    """A process of the command that is under way."""

    process: ForkServerProcess
    out: Path
    err: Path

    @property
    def is_alive(self) -> bool:
        return self.process.is_alive()

    def kill(self) -> Ended:
        """Let it die at once, as the machine's power would."""
        self.process.kill()
        return self.wait()

    def wait(self) -> Ended:
        self.process.join(RUN_TIMEOUT_S)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            stacks = self.out.with_suffix(".stacks").read_text()
            raise AssertionError(f"The command did not end within {RUN_TIMEOUT_S:.0f} s: {stacks}")
        return Ended(self.process.exitcode, self.out.read_text(), self.err.read_text())


class Commands:
    """The command against one Prefect server; may be used from several threads."""

    def start(self, folder: Path, *arguments: str | Path) -> Running:
        out, err = _fresh_outputs(folder)
        words = [str(argument) for argument in arguments]
        process = fork.Process(target=_run_command, args=(words, out, err))
        process.start()
        return Running(process, out, err)

    def run(self, folder: Path, *arguments: str | Path) -> Ended:
        return self.start(folder, *arguments).wait()

    def save_connection(self, name: str, **values: str) -> None:
        """Save a connection that has not signed in yet; a busy server is asked again."""
        for _ in range(MOST_SAVES):
            process = fork.Process(target=_save_connection, args=(name, values))
            process.start()
            process.join(RUN_TIMEOUT_S)
            if process.exitcode == 0:
                return
        raise AssertionError("The connection could not be saved")


class LongCommands:
    """The command over and over in one and the same process."""

    def __init__(self) -> None:
        self._ours, theirs = multiprocessing.Pipe()
        self._process = fork.Process(target=_run_commands, args=(theirs,))
        self._process.start()
        theirs.close()
        self.samples: list[Sample] = []

    def run(self, folder: Path, *arguments: str | Path) -> Ended:
        out, err = _fresh_outputs(folder)
        self._ours.send(([str(argument) for argument in arguments], out, err))
        if not self._ours.poll(RUN_TIMEOUT_S):
            raise AssertionError(f"The command did not end within {RUN_TIMEOUT_S:.0f} s")
        code, sample = self._ours.recv()
        self.samples.append(sample)
        return Ended(code, out.read_text(), err.read_text())

    def close(self) -> None:
        self._ours.send(None)
        self._process.join(RUN_TIMEOUT_S)
        self._ours.close()


@contextmanager
def prefect_running(home: Path) -> Iterator[PrefectServer]:
    """Run a Prefect server, without its background services.

    They write to the same SQLite file as the runs, of which there are several at once: every few
    minutes one of them then waits a minute for the other.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = PrefectServer(f"http://127.0.0.1:{port}/api", home, home / "server.log")
    with server.log.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1",
             "--port", str(port), "--no-services"],
            stdout=log,
            stderr=log,
            env=clean_env(home),
        )  # fmt: skip
    try:
        wait_until_healthy(server)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)


def commands_against(server: PrefectServer) -> Commands:
    """Give the command an environment; Prefect reads its settings once, when it is imported."""
    scratch = server.home / "scratch"
    scratch.mkdir(exist_ok=True)
    kept = dict(os.environ)
    os.environ.clear()
    os.environ.update(server.env() | QUIET_PREFECT | {"TMPDIR": str(scratch)})
    try:
        fork.set_forkserver_preload(PRELOADED)
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(kept)
    return Commands()


def _fresh_outputs(folder: Path) -> tuple[Path, Path]:
    stamp = time.monotonic_ns()
    return folder / f"{stamp}.out", folder / f"{stamp}.err"


def _redirect(out: Path, err: Path) -> None:
    for descriptor, path in ((1, out), (2, err)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)


def _call_main(arguments: list[str]) -> int:
    from cli.main import main  # noqa: PLC0415 -- the preloaded one

    sys.argv = ["segment-export", *arguments]
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _run_command(arguments: list[str], out: Path, err: Path) -> None:
    os.chdir(out.parent)
    _redirect(out, err)
    stacks = os.open(out.with_suffix(".stacks"), os.O_WRONLY | os.O_CREAT, 0o600)
    faulthandler.dump_traceback_later(STACKS_AFTER_S, file=stacks)
    code = _call_main(arguments)
    # A forked process skips what an interpreter does at its end: Prefect sends its last events.
    atexit._run_exitfuncs()
    sys.exit(code)


def _run_commands(pipe: Connection) -> None:
    """Run commands until told to stop, and measure this process after each."""
    while (job := pipe.recv()) is not None:
        arguments, out, err = job
        os.chdir(out.parent)
        _redirect(out, err)
        code = _call_main(arguments)
        pipe.send((code, _measure()))


def _measure() -> Sample:
    """Measure this process, its freed memory handed back.

    What the C library keeps in some dozen arenas for the next use grows for a long time after
    what is in use has stopped growing.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Sample(
        rss_kib=pages * os.sysconf("SC_PAGE_SIZE") // KIB,
        open_files=sum(1 for _ in Path("/proc/self/fd").iterdir()),
    )


def _save_connection(name: str, values: dict[str, Any]) -> None:
    import asyncio  # noqa: PLC0415 -- both are preloaded where this runs
    from datetime import UTC, datetime  # noqa: PLC0415

    from tasks.connection import (  # noqa: PLC0415
        ConstantContactConnection,
        connection_slug,
    )
    from tasks.permission import os_user  # noqa: PLC0415

    connection = ConstantContactConnection(
        display_name=name,
        privacy_accepted_at=datetime.now(UTC),
        administrators=[os_user().name],
        **values,
    )
    asyncio.run(connection.asave(connection_slug(name), overwrite=True))
    atexit._run_exitfuncs()
