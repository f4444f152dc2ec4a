"""`segment-export drain`: let a work pool come to rest before its workers are stopped."""

import json
import sys
import time
from collections.abc import Callable

import httpx
from prefect.client.orchestration import get_client

from cli.deploy import require_server
from cli.errors import CommandFailed, CommandRefused
from cli.prefect_api import prefect_api
from deployments.changes import DeploymentRefused
from deployments.under_way import RunUnderWay, read_runs_under_way, set_paused

LOOK_EVERY_S = 2.0
# A worker that asked just before the pause may be about to take a run: be sure that it has not.
QUIET_LOOKS = 3
# A server that is restarted is back by then, also one that changes its tables first.
SILENCE_S = 300.0


def drain_pool(pool: str, timeout_s: float, *, as_json: bool) -> None:
    """Pause a work pool and wait until no run of it is under way.

    Raises:
        CommandRefused: no server is configured, or it has no such pool.
        CommandFailed: runs are still under way after the time, or the server is silent for long.
    """
    require_server("to drain")
    with prefect_api(lambda _: None), get_client(sync_client=True) as client:
        try:
            has_changed = set_paused(client, pool, is_paused=True)
        except DeploymentRefused as error:
            raise CommandRefused(str(error)) from error
        _tell(f"work pool {pool}: {'paused' if has_changed else 'is paused already'}")
        wait_until_quiet(lambda: read_runs_under_way(client, pool), timeout_s)
    if as_json:
        sys.stdout.write(json.dumps({"pool": pool, "paused": True, "under_way": 0}) + "\n")
    else:
        sys.stdout.write(
            f"Nothing is under way on {pool}: its workers can be stopped. Afterwards: "
            "segment-export drain --resume\n"
        )


def wait_until_quiet(
    look: Callable[[], list[RunUnderWay]],
    timeout_s: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until nothing is under way, also over a restart of the server.

    Raises:
        CommandFailed: runs are still under way after the time, or the server is silent for long.
    """
    give_up_at = clock() + timeout_s
    heard_at = clock()
    told = ""
    quiet_looks = 0
    while quiet_looks < QUIET_LOOKS:
        try:
            runs = look()
        except httpx.HTTPError as error:
            quiet_looks = 0
            silent = f"The Prefect server does not answer ({type(error).__name__})"
            if clock() - heard_at >= SILENCE_S:
                raise CommandFailed(
                    f"{silent} for {SILENCE_S / 60:g} minutes, so that nobody can tell what is "
                    "under way. The pool stays paused: run this again when the server answers."
                ) from error
            told = _tell_new(f"{silent}; waiting for it.", told)
            sleep(LOOK_EVERY_S)
            continue
        heard_at = clock()
        quiet_looks = 0 if runs else quiet_looks + 1
        if runs:
            told = _tell_new(describe(runs), told, by=str([run.name for run in runs]))
            if clock() >= give_up_at:
                raise CommandFailed(
                    f"{describe(runs)} after {timeout_s / 60:g} minutes. The pool stays paused: "
                    "run this again to go on waiting, or cancel them in the UI."
                )
        sleep(LOOK_EVERY_S)


def resume_pool(pool: str, *, as_json: bool) -> None:
    """Let workers take the runs of a work pool again.

    Raises:
        CommandRefused: no server is configured, or it has no such pool.
    """
    require_server("to drain")
    with prefect_api(lambda _: None), get_client(sync_client=True) as client:
        try:
            has_changed = set_paused(client, pool, is_paused=False)
        except DeploymentRefused as error:
            raise CommandRefused(str(error)) from error
    if as_json:
        sys.stdout.write(json.dumps({"pool": pool, "paused": False}) + "\n")
    else:
        outcome = "resumed" if has_changed else "was not paused"
        sys.stdout.write(f"work pool {pool}: {outcome}\n")


def describe(runs: list[RunUnderWay]) -> str:
    """Say which runs are under way."""
    named = ", ".join(f"{run.name} ({run.state}, {run.minutes} min)" for run in runs[:5])
    more = f" and {len(runs) - 5} more" if len(runs) > 5 else ""  # noqa: PLR2004 -- as above
    return f"{len(runs)} still under way: {named}{more}"


def _tell_new(line: str, told: str, *, by: str = "") -> str:
    """Tell what has not been told last, and return by what it is known."""
    known_by = by or line
    if known_by != told:
        _tell(line)
    return known_by


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
