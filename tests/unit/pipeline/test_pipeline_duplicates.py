"""Who of those that share an address goes; the order of rows never decides."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline import ColumnTypeWrong
from tests.unit.pipeline.conftest import all_in_high, read_rejects

_naive = datetime.fromisoformat  # what a Parquet file without time zones holds


def test_of_customers_who_share_an_address_the_newest_goes_else_the_lowest_key(
    workshop: Any, tmp_path: Path
) -> None:
    rows = all_in_high(
        {
            "CustomerId": [10, 9, 8, 7],
            "EMail": ["A@x.com", " a@X.com", "a@x.com ", "other@x.com"],
            "Seen": [date(2026, 1, 2), date(2026, 1, 2), None, None],
        }
    )
    frame = pl.DataFrame(rows).with_columns(name=pl.col("CustomerId").cast(pl.String))
    prepared = workshop.prepare(
        frame, newest_by="Seen", first_name="name", report_dir=tmp_path / "r"
    )
    assert prepared.verdicts.duplicates == 2
    assert {
        c["first_name"] for c in workshop.contacts(frame, newest_by="Seen", first_name="name")
    } == {
        "9",
        "7",
    }
    assert {c["first_name"] for c in workshop.contacts(frame, first_name="name")} == {"8", "7"}
    rejects = read_rejects(tmp_path / "r")
    assert set(rejects) == {"10", "8"}
    assert rejects["10"] == {
        "customer_id": "10",
        "verdict": "duplicate",
        "reason": "duplicate_email",
        "reasons": ["duplicate_email"],
        "field": "EMail",
        "value": "A@x.com",
    }


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (1, 2),
        (None, -5),
        (float("nan"), -1.5),
        (_naive("2026-01-01T09:00"), _naive("2026-01-01T10:00")),
        ("2026-01-31", "2026-02-01"),
        ("2026-01-31T10:00:00+02:00", "2026-01-31T09:00:00Z"),
        ("2026-01-31T09:00:00Z", "2026-01-31T06:00:00-05:00"),
        ("2026-01-31 10:00", "2026-01-31T10:00:00.5"),
        ("", "1999-12-31"),
        (None, "1999-12-31T00:00:00-0500"),
        ("2024-01-01 10:00:00+02", "2024-01-01 08:30:00+00"),
        ("2024-01-01 10:00:00.25+02", "2024-01-01T03:30:00-05"),
        ("2024-01-01T10:00+02", "2024-01-01T10:00+01:30"),
    ],
)
def test_newest_is_the_latest_date_or_the_highest_number_and_null_the_oldest(
    workshop: Any, older: Any, newer: Any
) -> None:
    rows = all_in_high({"EMail": ["a@x.com"] * 2, "Seen": [older, newer], "N": ["old", "new"]})
    assert workshop.contacts(rows, newest_by="Seen", first_name="N")[0]["first_name"] == "new"


@pytest.mark.parametrize(
    "text",
    [
        "3/4/2026",
        "2026-13-01",
        "yesterday",
        "2026-01-01T24:00",
        "2026-01-01T10:60",
        "2026-01-01T10:00+2",
        "2026-01-01T10:00+24",
        "2026-01-01T10:00+02:",
        "2026-01-01+02",
    ],
)
def test_text_that_is_no_iso_date_cannot_say_who_is_newest(workshop: Any, text: str) -> None:
    rows = all_in_high({"EMail": ["a@x.com", "b@x.com"], "Seen": ["2026-01-01", text]})
    with pytest.raises(ColumnTypeWrong, match=r"'Seen' is text and no ISO date in 1 rows") as said:
        workshop.prepare(rows, newest_by="Seen")
    assert text not in str(said.value)


def test_a_rejected_profile_does_not_push_out_a_valid_one(workshop: Any) -> None:
    rows = all_in_high({"CustomerId": ["", "2"], "EMail": ["a@x.com"] * 2})
    verdicts = workshop.prepare(rows).verdicts
    assert (verdicts.sent, verdicts.rejected, verdicts.duplicates) == (1, 1, 0)


def test_the_order_of_rows_never_decides(workshop: Any) -> None:
    rows = pl.DataFrame(
        {
            "CustomerId": [str(i) for i in range(300)],
            "EMail": [f"u{i * 37 % 40}@x.com" for i in range(300)],
            "Seen": [[None, 1, 2][i * i % 3] for i in range(300)],
            "Segments": [["High"]] * 300,
        }
    )
    winners = []
    for seed in range(4):
        shuffled = rows.sample(fraction=1, shuffle=True, seed=seed)
        contacts = workshop.contacts(shuffled, newest_by="Seen", attributes={"CustomerId": "cf:id"})
        winners.append({contact["cf:id"] for contact in contacts})
    assert all(one == winners[0] for one in winners)


def test_winners_are_found_the_same_in_pieces(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = all_in_high({"EMail": [f"u{i % 7}@x.com" for i in range(60)]})
    whole = workshop.prepare(rows).verdicts
    monkeypatch.setattr("pipeline.duplicates._CANDIDATES_MOST", 3)
    monkeypatch.setattr("pipeline.source.SLICE_MOST_ROWS", 8)
    pieces = workshop.prepare(rows).verdicts
    assert pieces.sent_rows.to_list() == whole.sent_rows.to_list() == list(range(7))


def test_equal_hashes_are_confirmed_by_text(workshop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash alone would give one person's place to another."""

    def collide(values: pl.Series, *_: object) -> pl.Series:
        return pl.repeat(1, values.len(), dtype=pl.UInt64, eager=True)

    monkeypatch.setattr(pl.Series, "hash", collide)
    rows = all_in_high({"EMail": ["a@x.com", "b@x.com", "A@x.com"]})
    verdicts = workshop.prepare(rows).verdicts
    assert (verdicts.sent, verdicts.duplicates) == (2, 1)
