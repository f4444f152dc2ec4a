"""The command in processes of its own, forked from one that has imported everything already.

Each is a process that can be killed like any other, without seconds of imports.
"""

import atexit
import faulthandler
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path

PRELOADED = [
    "cli.main", "cli.run", "cli.connect", "flows.export_segment", "tests.reliability.processes",
    # what Prefect and Pandera import when they are first used
    "fastapi.encoders", "pandera.backends.polars.builtin_checks",
]  # fmt: skip
STACKS_AFTER_S = 120.0  # what it is doing then is told if it does not end

fork = multiprocessing.get_context("forkserver")


def begin_forking(env: Mapping[str, str]) -> None:
    """Have the process that others are forked from, if there is none yet."""
    kept = dict(os.environ)
    os.environ.clear()
    os.environ.update(env)
    try:
        fork.set_forkserver_preload(PRELOADED)
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(kept)


def start_command(
    arguments: Sequence[str], env: Mapping[str, str], folder: Path, out: Path, err: Path
) -> ForkServerProcess:
    """Start the command in an environment and a folder, what it prints going to two files."""
    begin_forking(env)
    process = fork.Process(target=_run_command, args=(list(arguments), dict(env), folder, out, err))
    process.start()
    return process


def redirect(out: Path, err: Path) -> None:
    """Have this process print to two files from now on."""
    for descriptor, path in ((1, out), (2, err)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)


def settle(env: Mapping[str, str], *, shows_details: bool = False) -> None:
    """Give this process another environment; Prefect reads its settings once, when imported."""
    from prefect.context import refresh_global_settings_context  # noqa: PLC0415 -- preloaded
    from prefect.logging.configuration import setup_logging  # noqa: PLC0415 -- preloaded

    from cli.prefect_api import keep_prefect_quiet  # noqa: PLC0415 -- preloaded

    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None
    keep_prefect_quiet(shows_details=shows_details)
    refresh_global_settings_context()
    setup_logging(incremental=False)


def call_main(arguments: Sequence[str]) -> int:
    """Run the command in this process and return its exit code."""
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


def end_forked(code: int) -> None:
    """End a forked process, which skips what an interpreter does at its end.

    Prefect sends its last events there.
    """
    atexit._run_exitfuncs()
    sys.exit(code)


def _run_command(
    arguments: list[str], env: dict[str, str], folder: Path, out: Path, err: Path
) -> None:
    os.chdir(folder)
    redirect(out, err)
    stacks = os.open(out.with_suffix(".stacks"), os.O_WRONLY | os.O_CREAT, 0o600)
    faulthandler.dump_traceback_later(STACKS_AFTER_S, file=stacks)
    settle(env, shows_details="--debug" in arguments)
    end_forked(call_main(arguments))
