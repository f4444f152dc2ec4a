"""In a process of its own: prepare an export and make all its batches; nothing is sent.

Prints what it took as JSON, without imports.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import polars as pl

from benchmarks.measuring import read_peak_mib
from cli.sample_profiles import SEGMENT
from constant_contact import REQUEST_LIMIT_BYTES, framing_bytes
from pipeline import batch_file_name, prepare
from schemas.contact import find_breaches, required_schema
from schemas.export import ExportRequest

LIST_ID = "6d4f6a2e-0a52-4f6e-9f3e-4f1d8a5b7c90"
FILE_NAME = batch_file_name("benchmark", "0" * 12, number=1, digest="0" * 12)
BODY_MOST_BYTES = REQUEST_LIMIT_BYTES - 1 - framing_bytes(FILE_NAME, [LIST_ID])


def prepare_batches(request: ExportRequest, report_dir: Path, pause_s: float) -> dict[str, float]:
    """Judge every profile, write the reports, then encode; rest after each batch as uploads do.

    Raises:
        AssertionError: the batches do not hold exactly who is to be sent.
    """
    begun = time.perf_counter()
    prepared = prepare(request, report_dir=report_dir)
    prepare_s = time.perf_counter() - begun
    first_batch_s = 0.0
    rows = batches = body_bytes = 0
    for batch in prepared.iter_batches(BODY_MOST_BYTES):
        first_batch_s = first_batch_s or time.perf_counter() - begun
        rows += batch.rows
        body_bytes += len(batch.body)
        batches += 1
        time.sleep(pause_s)
    total_s = time.perf_counter() - begun
    if rows != prepared.verdicts.sent:
        raise AssertionError(f"{rows:,} rows in batches, {prepared.verdicts.sent:,} to send")
    return {
        "total_s": total_s,
        "prepare_s": prepare_s,
        "first_batch_s": first_batch_s,
        "rows": rows,
        "batches": batches,
        "body_bytes": body_bytes,
        "peak_mib": read_peak_mib("self"),
    }


def finish_imports() -> None:
    """Make Pandera import what it leaves until it is first used."""
    find_breaches(required_schema(), pl.DataFrame({"customer_id": ["1"], "email": ["a@b.com"]}))


def main() -> None:
    """Measure the export that the arguments describe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profiles")
    parser.add_argument("--memberships", default="", help="else the column Segments is used")
    parser.add_argument("--pause-s", type=float, default=0.0)
    parser.add_argument("--max-profiles", type=int, default=1_000_000)
    asked = parser.parse_args()
    request = ExportRequest(
        connection="none",
        list_id=LIST_ID,
        profiles=asked.profiles,
        segments=(SEGMENT,),
        email="EMail",
        first_name="FirstName",
        last_name="LastName",
        segments_column="" if asked.memberships else "Segments",
        memberships=asked.memberships,
        max_profiles=asked.max_profiles,
    )
    finish_imports()
    with tempfile.TemporaryDirectory() as report_dir:
        took = prepare_batches(request, Path(report_dir), asked.pause_s)
    print(json.dumps(took))


if __name__ == "__main__":
    main()
