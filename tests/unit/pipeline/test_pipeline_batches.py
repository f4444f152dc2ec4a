"""Batches keep both limits, are as few as the limits allow, and are the same every time."""

import csv
import hashlib
import io
from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pipeline.source
from pipeline import BatchImpossible, ConservationBroken, ContactBatch
from pipeline.source import Table

MOST_BYTES = 3_999_000
Reader = Callable[..., list[dict[str, str]]]


def _many(count: int, **columns: pl.Expr) -> pl.DataFrame:
    return pl.select(
        n=pl.int_range(count), CustomerId=pl.int_range(count), Segments=pl.lit(["High"])
    ).select("CustomerId", "Segments", EMail=pl.format("user{}@example.com", "n"), **columns)


@pytest.mark.parametrize(
    ("count", "rows"),
    [(39_998, [39_998]), (39_999, [39_999]), (40_000, [39_999, 1]), (80_000, [39_999, 39_999, 2])],
)
def test_a_batch_holds_at_most_39_999_contacts(workshop: Any, count: int, rows: list[int]) -> None:
    batches = list(workshop.prepare(_many(count)).iter_batches(MOST_BYTES))
    assert [batch.rows for batch in batches] == rows
    assert [batch.number for batch in batches] == list(range(1, len(rows) + 1))
    assert max(batch.body.count(b"\r\n") for batch in batches) <= 40_000


def test_a_body_of_exactly_the_limit_is_one_batch_and_a_byte_less_makes_two(
    workshop: Any,
) -> None:
    prepared = workshop.prepare(_many(1000))
    (whole,) = prepared.iter_batches(MOST_BYTES)
    assert [b.rows for b in prepared.iter_batches(len(whole.body))] == [1000]
    assert [b.rows for b in prepared.iter_batches(len(whole.body) - 1)] == [999, 1]


def test_a_line_break_in_a_value_counts_as_a_line(workshop: Any) -> None:
    """The documented limit is 40,000 lines, and what comes after is silently dropped."""
    rows = _many(39_999, Street=pl.when(pl.col("n") == 5).then(pl.lit("a\r\nb\nc")))
    prepared = workshop.prepare(rows, attributes={"Street": "street"})
    assert [batch.rows for batch in prepared.iter_batches(MOST_BYTES)] == [39_997, 2]


def test_the_limit_holds_for_the_largest_real_body(workshop: Any) -> None:
    rows = _many(60_000, Long=pl.format('{}é,"', pl.lit("x" * 200) + pl.col("n").cast(pl.String)))
    prepared = workshop.prepare(rows, attributes={"Long": "cf:long"})
    batches = list(prepared.iter_batches(MOST_BYTES))
    longest_row = max(len(line) + 2 for line in batches[0].body.split(b"\r\n"))
    for batch in batches[:-1]:
        assert MOST_BYTES - longest_row < len(batch.body) <= MOST_BYTES
    assert sum(batch.rows for batch in batches) == 60_000


def test_a_body_is_rfc_4180_with_a_header_and_quotes_only_where_needed(workshop: Any) -> None:
    rows = {
        "CustomerId": ["1", "2"],
        "EMail": ["a@x.com", "b@x.com"],
        "First": ['Ann "A", B', "=1+1"],
        "Street": ["1\n2\r3", None],
        "Segments": [["High"]] * 2,
    }
    mapping = {"first_name": "First", "attributes": {"Street": "street"}}
    (batch,) = workshop.prepare(rows, **mapping).iter_batches(MOST_BYTES)
    assert batch.body == (
        b'email,first_name,street\r\na@x.com,"Ann ""A"", B","1\n2\r3"\r\nb@x.com,=1+1,\r\n'
    )
    assert batch.digest == hashlib.sha256(batch.body).hexdigest()[:12]


def test_a_size_that_was_computed_wrongly_is_a_defect_in_one_line(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = workshop.prepare(_many(3))
    monkeypatch.setattr("pipeline.batches._body_bytes", lambda contacts: contacts["\x00size"])
    with pytest.raises(ConservationBroken, match=r"^Batch 1 has 64 bytes .* report it\.$"):
        list(prepared.iter_batches(MOST_BYTES))


def test_a_column_with_no_values_is_left_out_of_the_file(workshop: Any) -> None:
    rows = {
        "CustomerId": ["1", "2", "3"],
        "EMail": ["a@x.com", "b@x.com", "c@x.com"],
        "First": [None, " ", "C"],
        "Last": pl.Series([None] * 3, dtype=pl.String),
        "Segments": [["High"]] * 3,
    }
    prepared = workshop.prepare(rows, first_name="First", last_name="Last")
    assert [batch.body for batch in prepared.iter_batches(48)] == [
        b"email\r\na@x.com\r\nb@x.com\r\n",
        b"email,first_name\r\nc@x.com,C\r\n",
    ]
    (whole,) = prepared.iter_batches(49)
    assert whole.body == b"email,first_name\r\na@x.com,\r\nb@x.com,\r\nc@x.com,C\r\n"


def test_a_heading_with_a_comma_is_quoted(workshop: Any) -> None:
    rows = _many(1, A=pl.lit("v"))
    (batch,) = workshop.prepare(rows, attributes={"A": 'cf:a,"b'}).iter_batches(MOST_BYTES)
    header = next(csv.reader(io.StringIO(batch.body.decode(), newline="")))
    assert header == ["email", 'cf:a,"b']


def test_the_same_input_gives_the_same_batches(workshop: Any) -> None:
    rows = _many(500, First=pl.format("n{}", pl.col("n") % 7))
    workshop.write("profiles.parquet", rows)
    first, second = (
        list(workshop.prepare(first_name="First").iter_batches(5_000)) for _ in range(2)
    )
    assert first == second
    assert len({batch.digest for batch in first}) == len(first)


def test_a_contact_larger_than_a_file_is_a_clear_error(workshop: Any) -> None:
    with pytest.raises(
        BatchImpossible, match="takes 26 bytes in 1 lines, and a file may have 20 bytes"
    ):
        list(workshop.prepare(_many(1)).iter_batches(20))


def test_the_first_batch_goes_out_before_the_last_slice_is_read(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.source, "SLICE_MOST_ROWS", 100)
    prepared = workshop.prepare(_many(1000))
    read: list[int] = []
    read_slice = Table._read_slice

    def recording(table: Table, *arguments: Any) -> Any:
        read.append(arguments[1])
        return read_slice(table, *arguments)

    monkeypatch.setattr(Table, "_read_slice", recording)
    batches = prepared.iter_batches(1_000)
    assert next(batches).number == 1
    assert len(read) <= 2
    assert sum(batch.rows for batch in batches) + 39 >= 900
    assert len(read) == 10


def test_a_consumer_may_stop_early(workshop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.source, "SLICE_MOST_ROWS", 100)
    batches: Iterator[ContactBatch] = workshop.prepare(_many(1000)).iter_batches(1_000)
    next(batches)
    batches.close()  # type: ignore[attr-defined]  # an iterator of ours is a generator


_CELL = st.none() | st.text(st.sampled_from('aé",\r\n😀 '), max_size=8)


@settings(max_examples=60)
@given(
    cells=st.lists(st.tuples(_CELL, _CELL), min_size=1, max_size=30),
    spare_bytes=st.integers(0, 120),
    slice_rows=st.integers(1, 12),
)
def test_batches_are_as_few_as_the_limits_allow_and_cut_greedily(
    new_workshop: Callable[[], Any],
    read_back: Reader,
    cells: list[tuple[str | None, str | None]],
    spare_bytes: int,
    slice_rows: int,
) -> None:
    workshop = new_workshop()
    rows = pl.DataFrame(
        {
            "CustomerId": list(range(len(cells))),
            "EMail": [f"u{i}@x.com" for i in range(len(cells))],
            "A": [a for a, _ in cells],
            "B": [b for _, b in cells],
            "Segments": [["High"]] * len(cells),
        },
        schema_overrides={"A": pl.String, "B": pl.String},
    )
    prepared = workshop.prepare(rows, attributes={"A": "cf:a", "B": 'cf:"b,'})
    everyone = read_back(prepared.iter_batches(MOST_BYTES))
    alone = max(len(_plain_csv([contact])) for contact in everyone)
    limit = alone + spare_bytes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.source, "SLICE_MOST_ROWS", slice_rows)
        batches = list(prepared.iter_batches(limit))
    assert read_back(batches) == everyone
    start = 0
    for batch in batches:
        end = start + batch.rows
        assert batch.body == _plain_csv(everyone[start:end])
        assert len(batch.body) <= limit
        if end < len(everyone):
            assert len(_plain_csv(everyone[start : end + 1])) > limit
        start = end


def _plain_csv(contacts: list[dict[str, str]]) -> bytes:
    """Write contacts with Python's csv module, with the columns that hold a value."""
    names = [
        name for name in ("email", "cf:a", 'cf:"b,') if any(name in contact for contact in contacts)
    ]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, restval="")
    writer.writeheader()
    writer.writerows(contacts)
    return text.getvalue().encode()
