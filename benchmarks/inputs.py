"""The made-up customers that are measured. Run as a module, it writes them.

In a process of its own, so that the memory it takes is in no measurement.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import python_command, run_measured, say


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
        run_measured(
            python_command(
                "benchmarks.inputs", str(rows), str(inputs.profiles), str(inputs.memberships)
            )
        )
    return inputs


def write_inputs(rows: int, profiles: Path, memberships: Path) -> None:
    """Write both tables, memberships as Dataverse keeps them: a JSON list of names in a string."""
    import polars as pl  # noqa: PLC0415 - the process that measures stays small

    from cli.sample_profiles import ROW_GROUP_ROWS, write_profiles  # noqa: PLC0415

    write_profiles(profiles, rows)
    names = pl.col("Segments").list.join('", "')
    pl.scan_parquet(profiles).select(
        "CustomerId", pl.format('["{}"]', names).alias("Segments")
    ).collect().write_parquet(memberships, row_group_size=ROW_GROUP_ROWS)


if __name__ == "__main__":
    write_inputs(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
    print("{}")
