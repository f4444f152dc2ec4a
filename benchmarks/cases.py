"""One case in a process of its own: time it without imports and print what it took as JSON."""

import argparse
import json
import tempfile
import time
from pathlib import Path

import polars as pl

from cli.sample_profiles import SEGMENT
from constant_contact import REQUEST_LIMIT_BYTES, framing_bytes
from pipeline import batch_file_name, prepare
from schemas.export import ExportRequest

SCANNED = ("CustomerId", "EMail", "FirstName", "LastName")
LIST_ID = "6d4f6a2e-0a52-4f6e-9f3e-4f1d8a5b7c90"
_FILE_NAME = batch_file_name("benchmark", "0" * 12, number=1, digest="0" * 12)
BODY_MOST_BYTES = REQUEST_LIMIT_BYTES - 1 - framing_bytes(_FILE_NAME, [LIST_ID])


def scan_columns(profiles: Path) -> dict[str, float]:
    """Read the columns that any export must read, and do nothing with them."""
    begun = time.perf_counter()
    rows = pl.scan_parquet(profiles).select(SCANNED).collect().height
    return {"total_s": time.perf_counter() - begun, "rows": rows}


def prepare_batches(request: ExportRequest, report_dir: Path, pause_s: float) -> dict[str, float]:
    """Prepare an export and make all its batches, taking a rest after each as an upload would."""
    begun = time.perf_counter()
    prepared = prepare(request, report_dir=report_dir)
    prepared_s = time.perf_counter() - begun
    first_s = paused_s = 0.0
    rows = batches = body_bytes = 0
    for batch in prepared.iter_batches(BODY_MOST_BYTES):
        first_s = first_s or time.perf_counter() - begun
        rows += batch.rows
        body_bytes += len(batch.body)
        batches += 1
        if pause_s:
            time.sleep(pause_s)
            paused_s += pause_s
    if rows != prepared.verdicts.sent:
        raise AssertionError(f"{rows:,} rows in batches, {prepared.verdicts.sent:,} to send")
    return {
        "total_s": time.perf_counter() - begun - paused_s,
        "prepare_s": prepared_s,
        "first_batch_s": first_s,
        "rows": rows,
        "batches": batches,
        "body_bytes": body_bytes,
    }


def main() -> None:
    """Run the case that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=["scan", "prepare"])
    parser.add_argument("profiles", type=Path)
    parser.add_argument("--memberships", default="", help="else the column Segments is used")
    parser.add_argument("--pause-s", type=float, default=0.0)
    parser.add_argument("--max-profiles", type=int, default=1_000_000)
    asked = parser.parse_args()
    if asked.case == "scan":
        took = scan_columns(asked.profiles)
    else:
        request = ExportRequest(
            connection="none",
            list_id=LIST_ID,
            profiles=str(asked.profiles),
            segments=(SEGMENT,),
            email="EMail",
            first_name="FirstName",
            last_name="LastName",
            segments_column="" if asked.memberships else "Segments",
            memberships=asked.memberships,
            max_profiles=asked.max_profiles,
        )
        with tempfile.TemporaryDirectory() as report_dir:
            took = prepare_batches(request, Path(report_dir), asked.pause_s)
    print(json.dumps(took))


if __name__ == "__main__":
    main()
