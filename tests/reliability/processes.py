"""The command against a Prefect server of the proofs' own, and what its processes hold."""

import ctypes
import gc
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa

from cli.malloc import MOST_ARENAS, TRIM_THRESHOLD_BYTES
from tests.conftest import PrefectServer, clean_env, wait_until_healthy
from tests.forking import (
    begin_forking,
    call_main,
    end_forked,
    fork,
    redirect,
    settle,
    start_command,
)

# Has Polars' allocator hand back what is freed when it is, and not when it is next asked; and the
# C library keep as little as it does in a backfill, which delivers so often in one process.
HANDING_BACK = {
    "_RJEM_MALLOC_CONF": "dirty_decay_ms:0,muzzy_decay_ms:0",
    "MALLOC_ARENA_MAX": str(MOST_ARENAS),
    "MALLOC_TRIM_THRESHOLD_": str(TRIM_THRESHOLD_BYTES),
}
MOST_SAVES = 10
BUSY_S = 3.0
RUN_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Ended:
    """A process of the command that has ended; `code` is negative where a signal ended it."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process holds after one export: memory of its own, and open files.

    `given_out_kib` is what of it the C library has given out, to whoever asked for it.
    """

    memory_kib: int
    given_out_kib: int
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

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = dict(env)
        self._api = self.env["PREFECT_API_URL"]
        self._saving = threading.Lock()
        self._saved: dict[str, Any] | None = None  # a connection, which others are copied from
        begin_forking(self.env)

    def start(self, folder: Path, *arguments: str | Path) -> Running:
        out, err = _fresh_outputs(folder)
        words = [str(argument) for argument in arguments]
        return Running(start_command(words, self.env, folder, out, err), out, err)

    def run(self, folder: Path, *arguments: str | Path) -> Ended:
        return self.start(folder, *arguments).wait()

    def save_connection(self, name: str, **values: str) -> None:
        """Save a connection that has not signed in yet; a busy server is asked again.

        The first is saved as the command does; others are copies of it, which saves seconds.
        """
        with self._saving:
            if self._saved is None:
                self._save_first(name, values)
                self._saved = self._read_connection(name)
                return
        copied = {key: self._saved[key] for key in ("block_schema_id", "block_type_id")}
        data = {**self._saved["data"], "display_name": name, **values}
        for _ in range(MOST_SAVES):
            done = httpx.post(
                f"{self._api}/block_documents/",
                json={"name": name, "data": data, **copied},
                timeout=RUN_TIMEOUT_S,
            )
            if done.is_success or done.status_code == HTTPStatus.CONFLICT:  # an answer came late
                return
            time.sleep(BUSY_S)
        raise AssertionError(f"The connection could not be saved: {done.text}")

    def _save_first(self, name: str, values: dict[str, str]) -> None:
        process = fork.Process(target=_save_connection, args=(self.env, name, values))
        process.start()
        process.join(RUN_TIMEOUT_S)
        assert process.exitcode == 0, "The connection could not be saved"

    def _read_connection(self, name: str) -> dict[str, Any]:
        found = httpx.get(
            f"{self._api}/block_types/slug/constant-contact-connection/block_documents/name/{name}",
            params={"include_secrets": True},
            timeout=RUN_TIMEOUT_S,
        )
        connection: dict[str, Any] = found.raise_for_status().json()
        return connection


class LongCommands:
    """The command over and over in one and the same process."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._ours, theirs = multiprocessing.Pipe()
        self._process = fork.Process(target=_run_commands, args=(dict(env), theirs))
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
    home.mkdir(exist_ok=True)
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
        process.wait(timeout=120)


def commands_against(server: PrefectServer, **more: str) -> Commands:
    """Give the command an environment."""
    scratch = server.home / "scratch"
    scratch.mkdir(exist_ok=True)
    return Commands(server.env() | {"TMPDIR": str(scratch)} | more)


def _fresh_outputs(folder: Path) -> tuple[Path, Path]:
    stamp = time.monotonic_ns()
    return folder / f"{stamp}.out", folder / f"{stamp}.err"


def _run_commands(env: dict[str, str], pipe: Connection) -> None:
    """Run commands until told to stop, and measure this process after each."""
    settle(env)
    while (job := pipe.recv()) is not None:
        arguments, out, err = job
        os.chdir(out.parent)
        redirect(out, err)
        code = call_main(arguments)
        pipe.send((code, _measure()))


class _Allocated(ctypes.Structure):
    """glibc's `struct mallinfo2`."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd",
            "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    )  # fmt: skip


def _measure() -> Sample:
    """Measure this process, its freed memory handed back.

    Pages of files, be they Parquet or code of the libraries, are the system's, which keeps them as
    long as nobody needs the memory.
    """
    gc.collect()
    pa.default_memory_pool().release_unused()
    library = ctypes.CDLL(None)
    library.malloc_trim(0)
    library.mallinfo2.restype = _Allocated
    allocated = library.mallinfo2()
    status = Path("/proc/self/status").read_text()
    return Sample(
        memory_kib=int(status.partition("RssAnon:")[2].split()[0]),
        given_out_kib=(allocated.uordblks + allocated.hblkhd) // 1024,
        open_files=sum(1 for _ in Path("/proc/self/fd").iterdir()),
    )


def _save_connection(env: dict[str, str], name: str, values: dict[str, Any]) -> None:
    import asyncio  # noqa: PLC0415 -- both are preloaded where this runs
    from datetime import UTC, datetime  # noqa: PLC0415 -- preloaded

    from tasks.connection import (  # noqa: PLC0415 -- preloaded
        ConstantContactConnection,
        connection_slug,
    )
    from tasks.permission import os_user  # noqa: PLC0415 -- preloaded

    settle(env)
    connection = ConstantContactConnection(
        display_name=name,
        privacy_accepted_at=datetime.now(UTC),
        administrators=[os_user().name],
        **values,
    )
    asyncio.run(connection.asave(connection_slug(name), overwrite=True))
    end_forked(0)
