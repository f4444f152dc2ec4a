"""`segment-export drain`: let a work pool come to rest before its workers are stopped."""

import json
import sys
import time

from prefect.client.orchestration import get_client

from cli.deploy import require_server
from cli.errors import CommandFailed, CommandRefused
from cli.prefect_api import prefect_api
from deployments.changes import DeploymentRefused
from deployments.under_way import RunUnderWay, read_runs_under_way, set_paused

LOOK_EVERY_S = 2.0
# A worker that asked just before the pause may be about to take a run: be sure that it has not.
QUIET_LOOKS = 3


def drain_pool(pool: str, timeout_s: float, *, as_json: bool) -> None:
    """Pause a work pool and wait until no run of it is under way.

    Raises:
        CommandRefused: no server is configured, or it has no such pool.
        CommandFailed: runs are still under way after the time.
    """
    require_server("to drain")
    with prefect_api(lambda _: None), get_client(sync_client=True) as client:
        try:
            has_changed = set_paused(client, pool, is_paused=True)
        except DeploymentRefused as error:
            raise CommandRefused(str(error)) from error
        _tell(f"work pool {pool}: {'paused' if has_changed else 'is paused already'}")
        give_up_at = time.monotonic() + timeout_s
        told: list[str] = []
        quiet_looks = 0
        while quiet_looks < QUIET_LOOKS:
            runs = read_runs_under_way(client, pool)
            quiet_looks = 0 if runs else quiet_looks + 1
            if (names := [run.name for run in runs]) != told and runs:
                _tell(describe(runs))
            told = names
            if time.monotonic() >= give_up_at and runs:
                raise CommandFailed(
                    f"{describe(runs)} after {timeout_s / 60:g} minutes. The pool stays paused: "
                    "run this again to go on waiting, or cancel them in the UI."
                )
            time.sleep(LOOK_EVERY_S)
    if as_json:
        sys.stdout.write(json.dumps({"pool": pool, "paused": True, "under_way": 0}) + "\n")
    else:
        sys.stdout.write(
            f"Nothing is under way on {pool}: its workers can be stopped. Afterwards: "
            "segment-export drain --resume\n"
        )


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


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
