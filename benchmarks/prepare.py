"""From profiles to encoded batches, beside a bare scan of the same file; and its memory."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.inputs import Inputs, make_inputs
from benchmarks.measuring import (
    Finished,
    median_of,
    python_command,
    run_interleaved,
    run_measured,
    say,
)
from benchmarks.tables import markdown_table

_CASES = "benchmarks.cases"
MEMORY_TIMES = 5  # how many times the customers the second part of `memory` takes
UPLOAD_PAUSE_S = 0.25  # a consumer as slow as four requests a second


def compare_preparation(folder: Path, rows: int, rounds: int) -> str:
    """Measure the preparation with both forms of membership, and give a table of medians."""
    inputs = make_inputs(folder, rows)
    runs = run_interleaved(
        {
            "bare scan of four columns": partial(_scan, inputs),
            "prepare, segments in a list column": partial(_prepare, inputs),
            "prepare, memberships in a table": partial(_prepare, inputs, beside=True),
        },
        rounds,
    )
    floor = next(iter(runs.values()))
    return markdown_table(
        [
            f"{rows:,} profiles, medians of {rounds}",
            "× bare scan",
            "seconds",
            "verdicts after s",
            "first batch after s",
            "whole process s",
            "× its scan",
            "peak MiB",
        ],
        [_line(name, of_case, floor) for name, of_case in runs.items()],
    )


def compare_memory(folder: Path, rows: int) -> str:
    """Measure peak memory with more customers and with a consumer that takes its time."""
    lines = []
    for size in (rows, rows * MEMORY_TIMES):
        inputs = make_inputs(folder, size)
        cases: dict[str, Callable[[], Finished]] = {
            "bare scan of four columns": partial(_scan, inputs),
            "list column": partial(_prepare, inputs),
            "list column, slow consumer": partial(_prepare, inputs, pause_s=UPLOAD_PAUSE_S),
            "memberships table": partial(_prepare, inputs, beside=True),
            "memberships table, slow consumer": partial(
                _prepare, inputs, beside=True, pause_s=UPLOAD_PAUSE_S
            ),
        }
        for name, run in cases.items():
            say(f"{size:,} customers: {name}")
            done = run()
            lines.append(
                [f"{size:,}: {name}", f"{done.peak_mib:,.0f}", f"{done.document['total_s']:.1f}"]
            )
    columns = [f"one run each; slow: {UPLOAD_PAUSE_S} s rest a batch", "peak MiB", "busy s"]
    return markdown_table(columns, lines)


def _scan(inputs: Inputs) -> Finished:
    return run_measured(python_command(_CASES, "scan", str(inputs.profiles)))


def _prepare(inputs: Inputs, *, beside: bool = False, pause_s: float = 0.0) -> Finished:
    options = ["--max-profiles", str(inputs.rows), "--pause-s", str(pause_s)]
    if beside:
        options += ["--memberships", str(inputs.memberships)]
    return run_measured(python_command(_CASES, "prepare", str(inputs.profiles), *options))


def _line(name: str, runs: list[Finished], floor: list[Finished]) -> list[str]:
    def seconds(key: str, of: list[Finished] = runs) -> float:
        return median_of(of, lambda run: float(run.document[key]))

    is_scan = runs is floor
    wall_s, floor_wall_s = (median_of(of, lambda run: run.wall_s) for of in (runs, floor))
    return [
        name,
        f"{seconds('total_s') / seconds('total_s', floor):.1f}",
        f"{seconds('total_s'):.2f}",
        "–" if is_scan else f"{seconds('prepare_s'):.2f}",
        "–" if is_scan else f"{seconds('first_batch_s'):.2f}",
        f"{wall_s:.2f}",
        f"{wall_s / floor_wall_s:.1f}",
        f"{median_of(runs, lambda run: run.peak_mib):,.0f}",
    ]
