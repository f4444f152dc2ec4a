"""From profiles to encoded batches, beside a bare scan of the same file; and its memory."""

from functools import partial
from pathlib import Path

from benchmarks.inputs import Inputs, make_inputs
from benchmarks.measuring import (
    Case,
    Finished,
    median_of,
    python_command,
    run_interleaved,
    run_measured,
    say,
)
from benchmarks.tables import markdown_table

MEMORY_TIMES = 5  # how many times the customers the second half of `memory` takes
UPLOAD_PAUSE_S = 0.25  # a consumer as slow as four requests a second
_SCAN = "bare scan of four columns"


def compare_preparation(folder: Path, rows: int, rounds: int) -> str:
    """Measure the preparation with both forms of membership, and give a table of medians."""
    inputs = make_inputs(folder, rows)
    runs = run_interleaved(
        {
            _SCAN: partial(_scan, inputs),
            "prepare, segments in a list column": partial(_prepare, inputs),
            "prepare, memberships in a table": partial(_prepare, inputs, beside=True),
        },
        rounds,
    )
    columns = [
        f"{rows:,} profiles, medians of {rounds}",
        "× bare scan",
        "seconds",
        "verdicts after s",
        "first batch after s",
        "whole process s",
        "× the scan's process",
        "peak MiB",
    ]
    lines = [_line(name, of_case, runs[_SCAN]) for name, of_case in runs.items()]
    return markdown_table(columns, lines)


def compare_memory(folder: Path, rows: int) -> str:
    """Measure peak memory with more customers and with a consumer that takes its time."""
    lines = []
    for size in (rows, rows * MEMORY_TIMES):
        inputs = make_inputs(folder, size)
        slowly = partial(_prepare, inputs, pause_s=UPLOAD_PAUSE_S)
        cases: dict[str, Case] = {
            _SCAN: partial(_scan, inputs),
            "prepare, list column": partial(_prepare, inputs),
            "prepare, list column, slow consumer": slowly,
            "prepare, memberships table": partial(_prepare, inputs, beside=True),
            "prepare, memberships table, slow consumer": partial(slowly, beside=True),
        }
        for name, run in cases.items():
            say(f"{size:,} customers: {name}")
            done = run()
            took_s = done.document["total_s"]
            lines.append([f"{size:,}: {name}", f"{done.peak_mib:,.0f}", f"{took_s:.1f}"])
    columns = [f"one run each; slow: {UPLOAD_PAUSE_S} s of rest a batch", "peak MiB", "seconds"]
    return markdown_table(columns, lines)


def _scan(inputs: Inputs) -> Finished:
    return run_measured(python_command("benchmarks.case_scan", str(inputs.profiles)))


def _prepare(inputs: Inputs, *, beside: bool = False, pause_s: float = 0.0) -> Finished:
    options = ["--max-profiles", str(inputs.rows), "--pause-s", str(pause_s)]
    if beside:
        options += ["--memberships", str(inputs.memberships)]
    command = python_command("benchmarks.case_prepare", str(inputs.profiles), *options)
    return run_measured(command)


def _line(name: str, runs: list[Finished], floor: list[Finished]) -> list[str]:
    def seconds(key: str, of: list[Finished]) -> float:
        return median_of(of, lambda run: float(run.document[key]))

    def optional(key: str) -> str:
        return f"{seconds(key, runs):.2f}" if key in runs[0].document else "–"

    wall_s, floor_wall_s = (median_of(of, lambda run: run.wall_s) for of in (runs, floor))
    return [
        name,
        f"{seconds('total_s', runs) / seconds('total_s', floor):.1f}",
        f"{seconds('total_s', runs):.2f}",
        optional("prepare_s"),
        optional("first_batch_s"),
        f"{wall_s:.2f}",
        f"{wall_s / floor_wall_s:.1f}",
        f"{median_of(runs, lambda run: run.peak_mib):,.0f}",
    ]
