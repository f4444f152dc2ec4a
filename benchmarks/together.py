"""Several exports at once on one API key, with one Prefect API for all and with one for each."""

import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from benchmarks.commands import (
    Sandbox,
    connect_command,
    make_environment,
    run_command,
    running_sandbox,
    stop,
)
from benchmarks.inputs import Inputs, make_inputs
from benchmarks.measuring import Finished, run_measured, say
from benchmarks.tables import markdown_table

RUNS_AT_ONCE = (1, 2, 4)
SERVER_START_S = 120.0
ASK_EVERY_S = 0.2


def compare_together(folder: Path, rows: int) -> str:
    """Deliver the same customers to a list for each run, all at once; give a table."""
    inputs = make_inputs(folder, rows)
    lines = []
    for where in ("server", "embedded"):
        with tempfile.TemporaryDirectory() as private, _prefect(where, Path(private)) as env:
            for count in RUNS_AT_ONCE:
                say(f"{count} at once, Prefect API: {where}")
                lines.append(_measure(f"{count}, {where}", inputs, Path(private), env, count))
    columns = [
        f"runs at once, Prefect API; {rows:,} profiles a run",
        "seconds until all are done",
        "contacts a run",
        "uploads a run",
        "requests",
        "requests a second, first to last",
        "most in any second",
        "answers 429",
    ]
    return markdown_table(columns, lines)


def _measure(
    name: str, inputs: Inputs, private: Path, env: Mapping[str, str], count: int
) -> list[str]:
    folder = private / str(count)
    with running_sandbox(folder, [f"Benchmark {number}" for number in range(count)]) as sandbox:
        run_measured(connect_command(sandbox), env=env)
        begun_with = len(sandbox.requests()["requests"])
        begun = time.perf_counter()
        done = _run_together(sandbox, inputs, folder, env)
        took_s = time.perf_counter() - begun
        asked = sandbox.requests()
    requests = asked["requests"][begun_with:]
    return [
        name,
        f"{took_s:.1f}",
        f"{done[0].document['counts']['sent']:,}",
        str(done[0].document["requests"]["uploads"]),
        str(len(requests)),
        f"{_rate(requests):.2f}",
        str(asked["most_in_any_second"]),
        str(sum(one["status"] == HTTPStatus.TOO_MANY_REQUESTS for one in requests)),
    ]


def _run_together(
    sandbox: Sandbox, inputs: Inputs, folder: Path, env: Mapping[str, str]
) -> list[Finished]:
    lists = sandbox.list_ids
    with ThreadPoolExecutor(len(lists)) as pool:
        runs = [
            pool.submit(run_measured, run_command(list_id, inputs, folder / list_id), env=env)
            for list_id in lists
        ]
    done = [run.result() for run in runs]
    sent = [one.document["counts"]["sent"] for one in done]
    members = [sandbox.count_members(list_id) for list_id in lists]
    if members != sent:
        raise RuntimeError(f"{sent} were sent, the lists hold {members}")
    return done


def _rate(requests: list[dict[str, Any]]) -> float:
    arrivals_s: list[float] = sorted(
        one["arrived_s"] for one in requests if one["path"].startswith("/v3/")
    )
    return (len(arrivals_s) - 1) / (arrivals_s[-1] - arrivals_s[0])


@contextmanager
def _prefect(where: str, private: Path) -> Iterator[dict[str, str]]:
    """Give commands an environment with a Prefect server of its own process, or with none."""
    env = make_environment(private)
    if where == "embedded":
        yield env
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", port]
    with (
        (private / "server.log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=env) as server,
    ):
        try:
            api_url = f"http://127.0.0.1:{port}/api"
            _wait_until_healthy(api_url)
            yield env | {"PREFECT_API_URL": api_url}
        finally:
            stop(server)


def _wait_until_healthy(api_url: str) -> None:
    give_up_at = time.monotonic() + SERVER_START_S
    while time.monotonic() < give_up_at:
        try:
            urllib.request.urlopen(f"{api_url}/health", timeout=5).close()  # noqa: S310 -- loopback
        except (urllib.error.URLError, TimeoutError):
            time.sleep(ASK_EVERY_S)
        else:
            return
    raise RuntimeError("The Prefect server did not start.")
