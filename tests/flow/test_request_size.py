"""The whole request, framing included, fills the limit and never reaches it."""

from pathlib import Path

import polars as pl

from constant_contact import REQUEST_LIMIT_BYTES, framing_bytes
from tests.conftest import World

ROWS = 32_000


def test_request_of_a_full_batch_ends_just_under_four_million_bytes(
    world: World, tmp_path: Path
) -> None:
    profiles = tmp_path / "profiles.parquet"
    numbers = pl.int_range(ROWS, eager=True).cast(pl.String).str.zfill(6)
    pl.DataFrame(
        {
            "CustomerId": numbers,
            "EMail": numbers + f".{world.list_id[:8]}@example.com",
            "Street": pl.repeat("x" * 50, ROWS, eager=True),
            "Company": pl.repeat("y" * 50, ROWS, eager=True),
            "Segments": pl.repeat(["Gold"], ROWS, dtype=pl.List(pl.String), eager=True),
        }
    ).write_parquet(profiles)
    done = world.export(
        "--profiles", profiles, "--segment", "Gold", "--email", "EMail",
        "--attribute", "Street=street", "--attribute", "Company=company_name",
        "--report-dir", tmp_path / "report",
    )  # fmt: skip
    assert done.code == 0, done.err
    full, rest = done.document["batches"]
    framing = framing_bytes(full["file_name"], [world.list_id])
    row_bytes = len(f"000000.{world.list_id[:8]}@example.com,,\r\n") + 100
    assert full["bytes"] + framing < REQUEST_LIMIT_BYTES
    assert full["bytes"] + framing + row_bytes >= REQUEST_LIMIT_BYTES
    assert full["rows"] + rest["rows"] == ROWS
    sizes = {request.body_bytes for request in world.box.state.requests("file_import")}
    assert full["bytes"] + framing in sizes
    assert len(world.members()) == ROWS
