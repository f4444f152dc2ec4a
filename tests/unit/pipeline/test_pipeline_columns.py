"""Columns that Parquet's writers store in ways of their own."""

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import ColumnTypeWrong, SourceUnreadable
from pipeline.source import open_table
from tests.unit.pipeline.reading import read

MOMENTS = [datetime(1, 1, 1), datetime(1600, 1, 1), datetime(9999, 12, 31), None]  # noqa: DTZ001 -- as stored
STAMPS = ["0001-01-01T00:00:00Z", "1600-01-01T00:00:00Z", "9999-12-31T00:00:00Z", None]


def write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    rows = len(next(iter(columns.values())))
    segments = {"Segments": [["High"]] * rows}
    pq.write_table(pa.table(columns | segments), path, **options)
    return path


def write_as_spark(path: Path, columns: dict[str, Any]) -> Path:
    """Write instants as INT96, which reaches beyond 64 bits of nanoseconds."""
    return write(path, columns, use_deprecated_int96_timestamps=True, store_schema=False)


def test_instants_that_nanoseconds_do_not_reach_are_sent_as_they_are(
    workshop: Any, tmp_path: Path
) -> None:
    columns = {
        "CustomerId": list("abcd"),
        "EMail": [f"{letter}@x.com" for letter in "abcd"],
        "T": pa.array(MOMENTS, pa.timestamp("us")),
    }
    path = write_as_spark(tmp_path / "p.parquet", columns)
    assert pq.read_schema(path).field("T").type == pa.timestamp("ns")
    contacts = workshop.contacts(path, attributes={"T": "cf:t"})
    assert [contact.get("cf:t") for contact in contacts] == STAMPS


def test_one_that_was_never_seen_is_not_the_newest(workshop: Any, tmp_path: Path) -> None:
    columns = {
        "CustomerId": ["a", "b"],
        "EMail": ["same@x.com"] * 2,
        "N": ["old", "new"],
        "T": pa.array([MOMENTS[0], datetime(2026, 1, 1)], pa.timestamp("us")),  # noqa: DTZ001 -- as stored
    }
    path = write_as_spark(tmp_path / "p.parquet", columns)
    (contact,) = workshop.contacts(path, newest_by="T", first_name="N")
    assert contact["first_name"] == "new"


def test_instants_of_every_unit_of_two_files_are_one_column(tmp_path: Path) -> None:
    values = {"T": pa.array(MOMENTS, pa.timestamp("us", tz="UTC"))}
    write_as_spark(tmp_path / "spark.parquet", {"T": pa.array(MOMENTS, pa.timestamp("us"))})
    write(tmp_path / "zoned.parquet", values)
    with pytest.raises(SourceUnreadable, match="instead of"):
        open_table(str(tmp_path)).column_type("T", "attribute")
    (tmp_path / "zoned.parquet").unlink()
    write(tmp_path / "plain.parquet", {"T": pa.array(MOMENTS, pa.timestamp("us"))})
    recent = pa.array([datetime(2026, 1, 1)] * 4, pa.timestamp("ns"))  # noqa: DTZ001 -- as stored
    write(tmp_path / "nanoseconds.parquet", {"T": recent})
    found = [row["T"] for row in read(tmp_path, "T")]
    assert found == [*recent.to_pylist(), *MOMENTS, *MOMENTS]


@pytest.mark.parametrize("wrap", ["list", "struct"])
@pytest.mark.parametrize("mapping", [{"attributes": {"X": "cf:x"}}, {"email": "X"}])
def test_values_that_a_type_lists_stay_out_of_messages(
    workshop: Any, wrap: str, mapping: dict[str, Any]
) -> None:
    values = pl.Enum(["secret@x.co"])
    dtype = pl.List(values) if wrap == "list" else pl.Struct({"secret@x.co": values})
    value = ["secret@x.co"] if wrap == "list" else {"secret@x.co": "secret@x.co"}
    rows = pl.DataFrame(
        {
            "CustomerId": ["a"],
            "EMail": ["a@x.com"],
            "Segments": [["High"]],
            "X": pl.Series([value], dtype=dtype),
        }
    )
    with pytest.raises(ColumnTypeWrong, match=r"'X'.*(List\(Enum\)|Struct)") as refused:
        workshop.prepare(rows, **mapping)
    assert "secret" not in str(refused.value)


def test_a_list_view_is_refused_by_the_name_of_its_column(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    views = pa.array([[1]], pa.list_view(pa.int64()))
    path = write(tmp_path / "p.parquet", {"CustomerId": ["a"], "Views": views})
    with pytest.raises(SourceUnreadable, match=r"The column 'Views' in the file .*p\.parquet"):
        open_table(str(path))
    assert capfd.readouterr() == ("", "")


def test_a_decimal_of_too_many_digits_is_refused_by_the_name_of_its_column(
    workshop: Any, tmp_path: Path
) -> None:
    for digits in (38, 50):
        wide = pa.array([Decimal("1.25")], pa.decimal256(digits, 2))
        columns = {"CustomerId": ["a"], "EMail": ["a@x.com"], "D": wide}
        path = write(tmp_path / f"{digits}.parquet", columns)
    with pytest.raises(ColumnTypeWrong, match="'D'"):
        workshop.prepare(path, attributes={"D": "cf:d"})
    (contact,) = workshop.contacts(tmp_path / "38.parquet", attributes={"D": "cf:d"})
    assert contact["cf:d"] == "1.25"


@pytest.mark.parametrize(
    "order", [("full", "empty", "null"), ("empty", "full", "null"), ("null", "empty", "full")]
)
def test_a_file_of_empty_lists_fits_one_of_lists(tmp_path: Path, order: tuple[str, ...]) -> None:
    kinds = {
        "full": (pa.array([["High"], []]), [["High"], []]),
        "empty": (pa.array([[], None], pa.list_(pa.null())), [[], None]),
        "null": (pa.nulls(2), [None, None]),
    }
    for number, kind in enumerate(order):
        pq.write_table(pa.table({"l": kinds[kind][0]}), tmp_path / f"{number}.parquet")
    expected = [value for kind in order for value in kinds[kind][1]]
    assert [row["l"] for row in read(tmp_path, "l")] == expected
    (tmp_path / f"{order.index('full')}.parquet").unlink()
    assert {str(row["l"]) for row in read(tmp_path, "l")} == {"[]", "None"}


def test_a_file_of_empty_lists_does_not_fit_one_of_text(tmp_path: Path) -> None:
    pq.write_table(pa.table({"l": ["a"]}), tmp_path / "0.parquet")
    pq.write_table(pa.table({"l": pa.array([[]], pa.list_(pa.null()))}), tmp_path / "1.parquet")
    with pytest.raises(SourceUnreadable, match="'l' is list<null> instead of string"):
        open_table(str(tmp_path)).column_type("l", "segments column")
