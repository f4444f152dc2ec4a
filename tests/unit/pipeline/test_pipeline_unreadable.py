"""What is said of tables that are missing, damaged or otherwise not to be read."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import SourceChanged, SourceUnreadable
from pipeline.source import open_table
from tests.unit.pipeline.object_store import serving
from tests.unit.pipeline.reading import ROWS, refusal


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "nothing.parquet' do not exist" in refusal(tmp_path / "nothing.parquet")
    assert "nothing' do not exist" in refusal(f"file://{tmp_path}/nothing")


@pytest.mark.parametrize("pattern", ["", "*.parquet"])
def test_an_empty_folder_is_named(tmp_path: Path, pattern: str) -> None:
    assert str(tmp_path) in refusal(tmp_path / pattern)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"CustomerId,EMail\n1,a@x.com\n", "is not Parquet.*CSV"),
        (b"", r"is empty \(0 bytes\)"),
        (b"PAR1" + b"\0" * 100, "damaged or not completely written"),
    ],
)
def test_a_file_that_is_not_parquet_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "p.parquet"
    path.write_bytes(content)
    message = refusal(path)
    assert str(path) in message
    with pytest.raises(SourceUnreadable, match=said):
        open_table(str(path))


def _hole(footer: bytes) -> bytes:
    return bytes(len(footer))


def _half_a_hole(footer: bytes) -> bytes:
    return footer[:40] + bytes(len(footer) - 40)


def _unknown_type(footer: bytes) -> bytes:
    """Give the first column a physical type that there is none of."""
    at = footer.index(b"\x0aCustomerId")
    before = footer[:at].rindex(b"\x15\x0c")  # the field `type`, BYTE_ARRAY
    return footer[:before] + b"\x15\x7e" + footer[before + 2 :]


@pytest.mark.parametrize("damage", [_hole, _half_a_hole, _unknown_type])
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_footer_that_is_damaged_is_not_blamed_on_the_store(
    tmp_path: Path, scheme: str, damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "p.parquet"
    _write_with_footer(path, damage)
    assert "p.parquet' of the profiles is damaged or not completely" in refusal(f"{scheme}{path}")


def _write_with_footer(path: Path, damage: Callable[[bytes], bytes]) -> None:
    pq.write_table(pa.table(ROWS), path, store_schema=False)
    content = path.read_bytes()
    footer_at = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    path.write_bytes(content[:footer_at] + damage(content[footer_at:-8]) + content[-8:])


def test_a_damaged_footer_in_an_object_store_is_damage_there_too(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workshop.folder / "store" / "bucket").mkdir(parents=True)
    _write_with_footer(workshop.folder / "store" / "bucket" / "p.parquet", _hole)
    with serving(workshop.folder / "store") as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert "is damaged or not completely" in refusal("s3://bucket/p.parquet")


def test_what_arrow_cannot_read_of_a_footer_is_damage(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = workshop.write("p.parquet", ROWS)

    def refuse(*_: object) -> None:
        raise pa.ArrowNotImplementedError("MARKER")

    monkeypatch.setattr("pipeline.locations.pq.ParquetFile", refuse)
    assert "p.parquet' of the profiles is damaged" in refusal(path)


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_file_whose_name_is_not_utf_8_is_refused_and_its_name_is_shown(
    workshop: Any, scheme: str
) -> None:
    path = workshop.write("t/p.parquet", ROWS)
    path.rename(os.fsdecode(os.fsencode(path.parent) + b"/M\xfcller.parquet"))
    message = refusal(f"{scheme}{path.parent}")
    assert r"M\xfcller.parquet'" in message
    assert "name that is not UTF-8" in message or "name is not UTF-8" in message
    assert message.endswith("rename it.")
    message.encode()  # which a surrogate would not let it be


@pytest.mark.parametrize("name", [b"Stra\xdfe1", b"\xff\xfe\xfd\xfc\xfb\xfa\xf9"])
def test_a_column_whose_name_is_not_utf_8_is_refused_naming_file_and_column(
    tmp_path: Path, name: bytes
) -> None:
    path = tmp_path / "p.parquet"
    pq.write_table(pa.table({**ROWS, "Strasse": ["x"] * 3}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"Strasse", name))
    shown = name.decode(errors="backslashreplace")
    assert refusal(path) == (
        f"The file '{path}' of the profiles has a column whose name is not UTF-8, '{shown}': have "
        "it written again."
    )


def test_pages_that_are_damaged_are_an_error_that_names_the_file(workshop: Any) -> None:
    names = [f"name{i}" for i in range(5000)]
    rows = {"CustomerId": names, "EMail": names, "Segments": [["High"]] * 5000}
    path = workshop.write("profiles.parquet", rows)
    content = bytearray(path.read_bytes())
    content[50:4000] = b"\xff" * 3950
    path.write_bytes(content)
    with pytest.raises(SourceUnreadable, match=r"profiles.parquet.*damaged") as refused:
        workshop.prepare()
    assert "\n" not in str(refused.value)


def _damage_pages(path: Path) -> None:
    """Overwrite everything between the first bytes and the footer."""
    content = path.read_bytes()
    footer_at = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    path.write_bytes(content[:4] + b"\xff" * (footer_at - 4) + content[footer_at:])


@pytest.mark.parametrize(
    ("form", "damaged"), [("column", "p1"), ("table", "p1"), ("table", "m"), ("folder", "p1")]
)
def test_damaged_pages_are_named_wherever_membership_is_kept(
    workshop: Any, form: str, damaged: str
) -> None:
    names = [f"name{i}" for i in range(5000)]
    rows = {"CustomerId": names, "EMail": names}
    if form == "column":
        rows["Segments"] = [["High"]] * 5000  # type: ignore[assignment] # a table of mixed columns
    workshop.write("t/p0.parquet", rows)
    workshop.write("t/p1.parquet", rows)
    workshop.write("m.parquet", {"CustomerId": names, "SegmentName": ["High"] * 5000})
    workshop.write("m/High.parquet", {"CustomerId": names})
    beside = {"column": "", "table": "m.parquet", "folder": "m"}[form]
    memberships = str(workshop.folder / beside) if beside else ""
    _damage_pages(workshop.folder / ("t/p1.parquet" if damaged == "p1" else "m.parquet"))
    with pytest.raises(SourceUnreadable, match=rf"{damaged}\.parquet' of .* is damaged") as refused:
        workshop.prepare(workshop.folder / "t", memberships=memberships)
    assert "\n" not in str(refused.value)
    assert refused.value.__context__ is None


@pytest.mark.parametrize(
    ("failure", "error", "said"),
    [
        (pl.exceptions.ComputeError("MARKER"), SourceUnreadable, "start the export again"),
        (pl.exceptions.PanicException("MARKER"), SourceUnreadable, "start the export again"),
        (None, SourceChanged, "was rewritten"),
    ],
)
def test_a_query_that_fails_over_sound_files_says_so(
    workshop: Any, failure: BaseException | None, error: type[Exception], said: str
) -> None:
    path = workshop.write("p.parquet", ROWS)
    table = open_table(str(path))

    def ask(frame: pl.LazyFrame) -> pl.LazyFrame:
        if failure is not None:
            raise failure
        os.utime(path, ns=(1, 1))
        return frame

    with pytest.raises(error, match=said) as refused:
        table.query(ask, ["CustomerId"])
    assert "MARKER" not in str(refused.value)
    assert refused.value.__context__ is None


@pytest.mark.parametrize(
    "location", ["a\0b.parquet", "~nobody-of-this-name/p.parquet", "nosuch://a/b.parquet"]
)
def test_a_location_that_the_system_cannot_even_look_up_is_refused(location: str) -> None:
    refusal(location)


def test_a_file_that_may_not_be_read_is_named(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = workshop.write("p.parquet", ROWS)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pipeline.locations._stat", refuse)
    message = refusal(path)
    assert str(path) in message
    assert "may not be read" in message
