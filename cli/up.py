"""`segment-export up`: a laptop's whole set-up in one command, gone again when it stops."""

import os
import shlex
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

import sandbox
from cli.children import Child
from cli.errors import CommandFailed, CommandRefused
from cli.naming import command_path
from cli.prefect_api import send_what_is_queued
from cli.up_folder import choose_example, find_exports, only_one, put_sample, tell_place
from cli.up_sandbox import CONNECTION, LIST_NAME, connect_sandbox, forget_snapshots
from deployments.changes import DeploymentFailed, DeploymentRefused
from deployments.deploy import deploy
from deployments.export_entry import FLOW
from deployments.under_way import (
    RunUnderWay,
    cancel_runs,
    crash_runs,
    read_runs_under_way,
    set_paused,
    settle_cancelled,
)
from deployments.work_pool import POOL

LOOPBACK = "127.0.0.1"
FIRST_PORT, PORTS = 4200, 100
SERVER_START_S = 180.0
WORKER_START_S = 120.0
RUNS_END_S = 45.0
RUNS_END_VARIABLE = "SEGMENT_EXPORT_UP_RUNS_END_S"  # for machines that are slow
STOP_S = 15.0
LOOK_EVERY_S = 0.5
WORKER = "segment-export-up"
CANCELLED = "`segment-export up` was stopped. Run the export again to continue where it stopped."
CUT_OFF = "`segment-export up` was killed. Run the export again: it continues where it stopped."

SERVER_ENV = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    # What a server must remember while it is down, so that runs end well: docs/guides/production.md
    "PREFECT_SERVER_EVENTS_EXPIRED_BUCKET_BUFFER": "P1D",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
        "prefect.server.concurrency.lease_storage.filesystem"
    ),
}
WORKER_ENV = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",
    "PREFECT_WORKER_QUERY_SECONDS": "2",
}


def bring_up(folder: Path, port: int | None) -> None:
    """Start everything, say where it is, and stay until interrupted.

    Raises:
        CommandRefused: the folder or the port is in use, or the exports make no sense.
        CommandFailed: a part did not start, or ended by itself.
    """
    # Started in the background of a script, a command would not hear of Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with ExitStack() as stack:
        lock = stack.enter_context(only_one(folder))
        folder = folder.absolute()
        listener = stack.enter_context(_listen(port))
        ui_url = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        tell_place(lock, ui_url)
        _say(f"Prefect server at {ui_url}: starting, the first time for up to a minute")
        server = stack.enter_context(_server(folder, listener, ui_url))
        file = find_exports(folder)
        sample = "created" if put_sample(file) else "unchanged"
        box = stack.enter_context(sandbox.running())
        list_id = box.add_list(LIST_NAME)
        _wait_for_server(server, ui_url)
        os.environ["PREFECT_API_URL"] = f"{ui_url}/api"  # for the commands that are started
        stack.enter_context(temporary_settings({PREFECT_API_URL: f"{ui_url}/api"}))
        stack.callback(send_what_is_queued)
        _say(f"sample customers: {sample}")
        _say(f"connection {CONNECTION}: {connect_sandbox(box, folder)}")
        _deploy(file)
        client = stack.enter_context(get_client(sync_client=True))
        _clear_up(client, list_id)
        worker = stack.enter_context(_worker(client, folder, file.parent))
        _say("worker: started")
        _tell_what_next(ui_url, file, f"{box.admin_url}/lists/{list_id}/contacts")
        try:
            _watch(server, worker)
        except KeyboardInterrupt:
            with suppress(httpx.HTTPError):  # a server that does not answer keeps nothing alive
                _end_runs(client)
        _say("Stopping.")
    _say("Stopped. The same command goes on with the same exports and history.")


@contextmanager
def _listen(port: int | None) -> Iterator[socket.socket]:
    ports = range(FIRST_PORT, FIRST_PORT + PORTS) if port is None else [port]
    reason: str | None = ""
    for one in ports:
        try:
            listener = socket.create_server((LOOPBACK, one))
        except OSError as error:
            reason = error.strerror
            continue
        with listener:
            yield listener
        return
    tried = f"port {port}" if port is not None else f"any port from {FIRST_PORT} on"
    raise CommandRefused(f"The server cannot listen on {tried}: {reason}. Choose another --port.")


@contextmanager
def _server(folder: Path, listener: socket.socket, ui_url: str) -> Iterator[Child]:
    env = {**SERVER_ENV, "PREFECT_UI_API_URL": f"{ui_url}/api", "PREFECT_API_URL": f"{ui_url}/api"}
    server = Child.start(
        "Prefect server",
        ["cli.embedded_server", str(listener.fileno()), "whole"],
        log=folder / "server.log",
        env=env,
        pass_fds=[listener.fileno()],
    )
    listener.close()  # the server's alone: what it does not answer is refused, not kept waiting
    try:
        yield server
    finally:
        server.stop(STOP_S)


def _wait_for_server(server: Child, ui_url: str) -> None:
    give_up_at = time.monotonic() + SERVER_START_S
    while not server.has_ended and time.monotonic() < give_up_at:
        try:
            if httpx.get(f"{ui_url}/api/health", timeout=LOOK_EVERY_S, trust_env=False).is_success:
                return
        except httpx.HTTPError:
            time.sleep(LOOK_EVERY_S)
    raise _failed_to_start(server)


@contextmanager
def _worker(client: SyncPrefectClient, folder: Path, exports: Path) -> Iterator[Child]:
    since = datetime.now(UTC)
    worker = Child.start(
        "worker",
        ["cli.local_worker", WORKER],
        log=folder / "worker.log",
        env=WORKER_ENV,
        cwd=exports,
    )
    try:
        give_up_at = time.monotonic() + WORKER_START_S
        while not _is_online(client, since):
            if worker.has_ended or time.monotonic() > give_up_at:
                raise _failed_to_start(worker)
            time.sleep(LOOK_EVERY_S)
        yield worker
    finally:
        worker.stop(STOP_S)


def _is_online(client: SyncPrefectClient, since: datetime) -> bool:
    return any(
        one.name == WORKER and one.last_heartbeat_time and one.last_heartbeat_time >= since
        for one in client.read_workers_for_work_pool(POOL)
    )


def _failed_to_start(child: Child) -> CommandFailed:
    return CommandFailed(
        f"The {child.name} did not start ({child.last_reason()}). Look into {child.log}, put that "
        "right and run this again: it goes on with what is missing."
    )


def _deploy(file: Path) -> None:
    try:
        for change in deploy(file):
            _say(f"{change.kind} {change.name}: {change.outcome}")
    except DeploymentRefused as error:
        raise CommandRefused(str(error)) from error
    except DeploymentFailed as error:
        raise CommandFailed(str(error)) from error


def _clear_up(client: SyncPrefectClient, list_id: str) -> None:
    """Undo what an earlier `up` has left: a paused pool, and runs that were cut off with it.

    And what Prefect remembers of the sandbox's list, which is new and empty.
    """
    forget_snapshots(client, list_id)
    if set_paused(client, POOL, is_paused=False):
        _say(f"work pool {POOL}: resumed")
    if runs := read_runs_under_way(client, POOL):  # there is no worker yet that could carry them
        crash_runs(client, runs, CUT_OFF)
        _say(f"runs that were cut off earlier: {len(runs)} marked Crashed")


def _watch(*children: Child) -> None:
    """Stay until a signal comes, or a child is gone.

    In short waits, as a signal that another thread was given does not end a long one.
    """
    while True:
        for child in children:
            if child.has_ended:
                raise CommandFailed(
                    f"The {child.name} has ended by itself ({child.last_reason()}). Look into "
                    f"{child.log}, and run this again."
                )
        time.sleep(LOOK_EVERY_S)


def _end_runs(client: SyncPrefectClient) -> None:
    """Cancel what is under way and wait for it; a second signal does not wait."""
    set_paused(client, POOL, is_paused=True)
    give_up_at = time.monotonic() + float(os.environ.get(RUNS_END_VARIABLE, RUNS_END_S))
    cancelled: list[RunUnderWay] = []
    while (runs := read_runs_under_way(client, POOL)) and time.monotonic() < give_up_at:
        if not cancelled:
            _say("Ending what is under way in good order; once more to stop at once.")
        cancelled += [run for run in runs if run.id not in {one.id for one in cancelled}]
        cancel_runs(client, runs, CANCELLED)
        time.sleep(LOOK_EVERY_S)
    settle_cancelled(client, cancelled, CANCELLED)


def _tell_what_next(ui_url: str, file: Path, arrived_url: str) -> None:
    export = choose_example(file)
    is_here = file.parent == Path.cwd()
    place = "" if is_here else f" --file {shlex.quote(os.path.relpath(file))}"
    _say(
        f"Ready: {ui_url} shows the exports of {file}. Ctrl-C stops everything.\n"
        f"  run one now        in the UI: Deployments, “{export}”, Run, Custom run\n"
        f"  from a terminal    export PREFECT_API_URL={ui_url}/api\n"
        f"                     {command_path('prefect')} deployment run "
        f"{shlex.quote(f'{FLOW}/{export}')} --watch\n"
        f"                     {command_path('segment-export')} exports{place}\n"
        f"  what has arrived   {arrived_url}"
    )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
