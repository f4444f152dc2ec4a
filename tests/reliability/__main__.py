"""Prove it: `python -m tests.reliability matrix|kills|soak [--sample N] [--write]`."""

import argparse
import math
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from functools import partial
from itertools import cycle
from pathlib import Path

from pydantic import TypeAdapter

from tests.reliability.cases import KILL_MOMENTS, Finding, list_spots, run_case, run_kill
from tests.reliability.faults import TABLE, Spot, list_cases
from tests.reliability.processes import (
    HANDING_BACK,
    Commands,
    commands_against,
    prefect_running,
)
from tests.reliability.soak import run_soak
from tests.reliability.summary import describe_soak, tabulate, write_block

RUNS_A_SERVER = 2  # at once; more would wait for its SQLite file
LENGTHY = tuple(trouble.name for trouble in TABLE if trouble.is_lengthy)

FINDING = TypeAdapter(Finding)

Job = Callable[[], Finding]


def main() -> int:
    """Run one proof and return the exit code: 0 when nothing differs, nor grows in a soak."""
    options = _read_options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no process is left
    with tempfile.TemporaryDirectory(prefix="reliability-") as name:
        folder = Path(name)
        with ExitStack() as stack:
            is_soak = options.proof == "soak"
            servers = 1 if is_soak else -(-options.workers // RUNS_A_SERVER)
            commands = [
                commands_against(
                    stack.enter_context(prefect_running(folder / f"prefect-{number}")),
                    **(HANDING_BACK if is_soak else {}),
                )
                for number in range(servers)
            ]
            spots = list_spots(commands[0], folder)
            say(f"The requests of an export: {'; '.join(map(str, spots))}")
            if is_soak:
                return _soak(commands[0], folder, spots, options)
            list_jobs = matrix_jobs if options.proof == "matrix" else kill_jobs
            jobs = choose(list_jobs(commands, folder, spots), options)
            known = read_findings(options.findings) if options.findings else {}
            due = [job for name, job in jobs.items() if name not in known]
            found = run_jobs(
                due, options.workers, until_s=60 * options.minutes, keep_in=options.findings
            )
    findings = [*(known[name] for name in jobs if name in known), *found]
    table = f"{len(findings):,} of {len(jobs):,} cases were run.\n\n{tabulate(findings)}"
    say(table)
    if options.write:
        write_block(options.proof, table)
    return int(not all(finding.is_good for finding in findings))


def matrix_jobs(commands: Sequence[Commands], folder: Path, spots: list[Spot]) -> dict[str, Job]:
    """Name every case of the fault matrix, with what runs it; the servers take turns."""
    turns = cycle(commands)
    return {case.name: partial(run_case, next(turns), folder, case) for case in list_cases(spots)}


def kill_jobs(commands: Sequence[Commands], folder: Path, spots: list[Spot]) -> dict[str, Job]:
    """Name every kill, with what does it; the servers take turns."""
    turns = cycle(commands)
    return {
        f"{spot}: {KILL_MOMENTS[moment]}": partial(run_kill, next(turns), folder, spot, moment)
        for spot in spots
        for moment in KILL_MOMENTS
        if moment != "late" or spot.operation == "file_import"
    }


def choose(jobs: dict[str, Job], options: argparse.Namespace) -> dict[str, Job]:
    """Return the jobs asked for: those with a word in their names, or so many drawn by a seed."""
    chosen = [
        name
        for name in jobs
        if options.only in name and not (options.brief and name.endswith(LENGTHY))
    ]
    if options.sample is not None or not math.isinf(options.minutes):
        chance = random.Random(options.seed)  # noqa: S311 -- a draw to be had again, no secret
        chosen = chance.sample(chosen, min(options.sample or len(chosen), len(chosen)))
    return {name: jobs[name] for name in chosen}


def read_findings(file: Path) -> dict[str, Finding]:
    """Read what an earlier run found as it should be, by the names of the cases."""
    lines = file.read_text().splitlines() if file.exists() else []
    found = map(FINDING.validate_json, lines)
    return {finding.name: finding for finding in found if finding.is_good}


def run_jobs(
    jobs: Sequence[Job],
    workers: int,
    *,
    until_s: float = math.inf,
    keep_in: Path | None = None,
) -> list[Finding]:
    """Run jobs, so many at once, and tell what came of each.

    No more are begun after `until_s` seconds. What was found is also added to a file, a line each.
    """
    started = time.monotonic()
    findings = []

    def run_in_time(job: Job) -> Finding | None:
        return job() if time.monotonic() - started < until_s else None

    with ThreadPoolExecutor(workers) as pool:
        try:
            for future in as_completed([pool.submit(run_in_time, job) for job in jobs]):
                if (finding := future.result()) is not None:
                    findings.append(finding)
                    tell(finding)
                    if keep_in is not None:
                        with keep_in.open("ab") as kept:
                            kept.write(FINDING.dump_json(finding) + b"\n")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # those under way are waited for
            raise
    say(f"{len(findings)} cases in {time.monotonic() - started:.0f} s")
    return findings


def tell(finding: Finding) -> None:
    """Print one line for a case, and what is wrong with it."""
    mark = "ok " if finding.is_good else "BAD"
    seconds = " + ".join(f"{took_s:.0f}" for took_s in finding.took_s)
    say(f"{mark} {finding.name}: {finding.ending} (runs of {seconds} s)")
    if finding.message:
        say(f"      {finding.message}")
    for problem in (*finding.problems, *finding.repeats):
        say(f"      !! {problem}")


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _soak(commands: Commands, folder: Path, spots: list[Spot], options: argparse.Namespace) -> int:
    soak = run_soak(
        commands, folder, spots, exports=options.sample or 200, seed=options.seed, tell=tell
    )
    text = describe_soak(soak, options.seed)
    say(text)
    if options.write:
        write_block("soak", text)
    return int(not (soak.is_flat and all(finding.is_good for finding in soak.findings)))


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__)
    parser.add_argument("proof", choices=["matrix", "kills", "soak"])
    parser.add_argument("--sample", type=int, help="so many cases or exports, drawn by the seed")
    parser.add_argument("--only", default="", help="cases with this in their names")
    parser.add_argument("--brief", action="store_true", help="without those of half a minute")
    parser.add_argument(
        "--minutes",
        type=float,
        default=math.inf,
        help="begin no more cases after so long",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=4, help="so many at once")
    parser.add_argument("--write", action="store_true", help="renew docs/reliability.md")
    parser.add_argument(
        "--findings",
        type=Path,
        help="keep what is found in this file, and run only what is not in it yet",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
