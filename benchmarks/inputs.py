"""The made-up customers that are measured. Run as a module, it writes them.

In a process of its own, so that the memory it takes is in no measurement.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import python_command, run_measured, say

SEED = 2026


@dataclass(frozen=True, slots=True)
class Inputs:
    """Profiles with a list column of segments, and the same memberships as a table of their own."""

    rows: int
    profiles: Path
    memberships: Path


def make_inputs(folder: Path, rows: int) -> Inputs:
    """Make up that many customers, once a folder."""
    inputs = Inputs(
        rows, folder / f"profiles-{rows}.parquet", folder / f"memberships-{rows}.parquet"
    )
    if not inputs.memberships.exists():
        say(f"making up {rows:,} customers in {folder}")
        folder.mkdir(parents=True, exist_ok=True)
        paths = str(inputs.profiles), str(inputs.memberships)
        run_measured(python_command("benchmarks.inputs", str(rows), *paths))
    return inputs


def write_inputs(rows: int, profiles: Path, memberships: Path) -> None:
    """Write both tables, memberships as Dataverse keeps them: a JSON list of names in a string.

    Profiles are shuffled (the same way each time): in order they compress four times as well as
    customers do, which would make the bare scan a floor that no real file has.
    """
    import polars as pl  # noqa: PLC0415 -- the process that measures stays small

    from cli.sample_profiles import ROW_GROUP_ROWS, build_profiles  # noqa: PLC0415 -- the same

    made_up = build_profiles(rows).collect()
    names = pl.col("Segments").list.join('", "')
    as_json = pl.format('["{}"]', names).alias("Segments")
    made_up.select("CustomerId", as_json).write_parquet(memberships, row_group_size=ROW_GROUP_ROWS)
    shuffled = made_up.sample(fraction=1.0, shuffle=True, seed=SEED)
    shuffled.write_parquet(profiles, row_group_size=ROW_GROUP_ROWS)


if __name__ == "__main__":
    write_inputs(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
    print("{}")
