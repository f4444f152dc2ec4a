"""The one text form of each type of value, and the values that have none."""

import unicodedata
from datetime import date, datetime
from typing import Any

import polars as pl
import pytest

from pipeline import ColumnTypeWrong
from pipeline.text_forms import STABLE
from tests.unit.pipeline.conftest import all_in_high

_naive = datetime.fromisoformat  # what a Parquet file without time zones holds


@pytest.mark.parametrize("values", [[[1]], [{"a": 1}], [b"x"]])
def test_a_value_without_a_text_form_is_refused_by_name(workshop: Any, values: list[Any]) -> None:
    rows = all_in_high({"EMail": ["a@x.com"], "A": values})
    with pytest.raises(ColumnTypeWrong, match=r"'A' .*(List|Struct|Binary)"):
        workshop.prepare(rows, attributes={"A": "cf:a"})
    with pytest.raises(ColumnTypeWrong, match=r"'A' is (List|Struct|Binary)"):
        workshop.prepare(rows, email="A")


def test_each_type_has_its_documented_text_form(workshop: Any) -> None:
    values: dict[str, Any] = {
        "d": (date(2026, 1, 2), "2026-01-02"),
        "t": (_naive("2026-01-02T03:04:05.0006"), "2026-01-02T03:04:05Z"),
        "i": (-7, "-7"),
        "f": (1e21, "1" + "0" * 21),
        "g": (1e-7, "0.0000001"),
        "h": (2.50, "2.5"),
        "z": (-0.0, "0"),
        "n": (float("nan"), None),
        "b": (True, "true"),
        "s": ("  a\x00b\n c\u0007 ", "ab\n c"),
    }
    rows = pl.DataFrame(
        all_in_high({"EMail": ["a@x.com"]} | {name: [v] for name, (v, _) in values.items()})
    ).with_columns(
        dec=pl.lit("12.500").cast(pl.Decimal(10, 3)),
        zoned=pl.lit(_naive("2026-01-02T01:00")).dt.replace_time_zone("Europe/Berlin"),
        cat=pl.lit("x").cast(pl.Categorical),
    )
    expected = {f"cf:{name}": form for name, (_, form) in values.items() if form}
    expected |= {"cf:dec": "12.5", "cf:zoned": "2026-01-02T00:00:00Z", "cf:cat": "x"}
    attributes = {name: f"cf:{name}" for name in [*values, "dec", "zoned", "cat"]}
    assert workshop.contacts(rows, attributes=attributes) == [{"email": "a@x.com", **expected}]


def test_text_taken_as_clean_is_what_cleaning_would_leave_alone() -> None:
    every = pl.Series([chr(c) for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000])
    stable = every.filter(every.str.contains(f"^[{STABLE}]$"))
    assert stable.len() > 30_000
    for character in stable:
        assert unicodedata.is_normalized("NFC", character)
        assert unicodedata.combining(character) == 0
        assert unicodedata.category(character) not in {"Cc", "Zs", "Zl", "Zp"}


def test_an_anniversary_of_any_date_type_is_a_date(workshop: Any) -> None:
    rows = all_in_high({"EMail": ["a@x.com"], "A": [_naive("2026-01-02T03:00")]})
    assert (
        workshop.contacts(rows, attributes={"A": "anniversary"})[0]["anniversary"] == "2026-01-02"
    )


@pytest.mark.parametrize(
    ("dtype", "never", "last", "form"),
    [
        (pl.Date, 2**31 - 1, 2_932_896, "9999-12-31"),
        (pl.Date, -(2**31), -719_162, "0001-01-01"),
        (pl.Datetime("us"), 2**63 - 1, 253_402_300_799_999_999, "9999-12-31T23:59:59Z"),
        (pl.Datetime("us", "UTC"), 253_402_300_800_000_000, 0, "1970-01-01T00:00:00Z"),
        (pl.Datetime("ms", "Asia/Kolkata"), -(2**63), -62_135_596_800_000, "0001-01-01T00:00:00Z"),
    ],
)
def test_dates_that_stand_for_never_count_as_not_supplied(
    workshop: Any, dtype: Any, never: int, last: int, form: str
) -> None:
    stored = {"since": [never, last, None], "jubilee": [never, last, None]}
    rows = pl.DataFrame(all_in_high({"EMail": ["a@x.com", "b@x.com", "c@x.com"]} | stored))
    rows = rows.with_columns(pl.col(stored).cast(pl.Int64 if dtype != pl.Date else pl.Int32))
    rows = rows.with_columns(pl.col(stored).cast(dtype))
    contacts = workshop.contacts(rows, attributes={"since": "cf:since", "jubilee": "anniversary"})
    assert contacts == [
        {"email": "a@x.com"},
        {"email": "b@x.com", "cf:since": form, "anniversary": form[:10]},
        {"email": "c@x.com"},
    ]
