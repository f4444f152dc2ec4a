"""In a process of its own: read the columns that any export must read, and do nothing with them.

Prints what it took as JSON, without imports.
"""

import json
import sys
import time

import polars as pl

from benchmarks.measuring import read_peak_mib

COLUMNS = ("CustomerId", "EMail", "FirstName", "LastName")


def scan_columns(profiles: str) -> dict[str, float]:
    """Collect the columns of a whole file."""
    begun = time.perf_counter()
    rows = pl.scan_parquet(profiles).select(COLUMNS).collect().height
    total_s = time.perf_counter() - begun
    return {"total_s": total_s, "rows": rows, "peak_mib": read_peak_mib("self")}


if __name__ == "__main__":
    print(json.dumps(scan_columns(sys.argv[1])))
