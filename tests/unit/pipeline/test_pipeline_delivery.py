"""A delivery is known by what it delivers, on any machine, and its files by their names."""

import os
import pickle
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

import pipeline
from pipeline import (
    BatchName,
    MappingInvalid,
    PipelineError,
    Selection,
    batch_file_name,
    errors,
    export_slug,
    parse_batch_file_name,
)
from schemas.contact import AMEND_RULES, REJECT_RULES, describe_rules

ROWS = {
    "CustomerId": ["1", "2"],
    "EMail": ["a@x.com", "b@x.com"],
    "First": ["A", "B"],
    "Seen": [1, 2],
    "Segments": [["High"], ["High", "Low"]],
}


@pytest.mark.parametrize(
    "change",
    [
        {"segments": ("High", "Low")},
        {"first_name": "First"},
        {"attributes": {"First": "cf:first"}},
        {"newest_by": "Seen"},
        {"customer_id": "First"},
        {"email": "First"},
    ],
)
def test_a_delivery_is_another_when_what_it_delivers_is(
    workshop: Any, change: dict[str, Any]
) -> None:
    usual = workshop.prepare(ROWS).delivery("list")
    assert workshop.prepare(**change).delivery("list") != usual
    assert workshop.prepare().delivery("other list") != usual
    assert workshop.prepare(max_profiles=9, name="x").delivery("list") == usual
    assert workshop.prepare(segments=("High", "High")).delivery("list") == usual
    assert len(usual) == 12


def test_a_delivery_is_another_when_the_source_is(workshop: Any) -> None:
    workshop.write("m.parquet", {"CustomerId": ["1"], "SegmentName": ["High"]})
    settings = {"memberships": str(workshop.folder / "m.parquet")}
    before = workshop.prepare(ROWS, **settings).delivery("list")
    for name in ("profiles.parquet", "m.parquet"):
        os.utime(workshop.folder / name, ns=(7, 7))
        after = workshop.prepare(**settings).delivery("list")
        assert after != before
        before = after


def test_the_same_store_mounted_elsewhere_is_the_same_delivery(workshop: Any) -> None:
    path = workshop.write("here/p.parquet", ROWS)
    other = workshop.write("there/p.parquet", ROWS)
    other.write_bytes(path.read_bytes())
    for one in (path, other):
        os.utime(one, ns=(7, 7))
    assert workshop.prepare(path).delivery("l") == workshop.prepare(other).delivery("l")


def test_a_batch_is_named_export_delivery_number_digest_and_read_back() -> None:
    name = batch_file_name("Loyalty High & Gold!", "0123456789ab", 7, "ba9876543210ffff")
    assert name == "loyalty-high-gold.0123456789ab.0007.ba9876543210.csv"
    parts = BatchName("loyalty-high-gold", "0123456789ab", 7, "ba9876543210")
    assert parse_batch_file_name(name) == parts


@pytest.mark.parametrize(
    "name", ["contacts.csv", "x.0123456789ab.7.ba9876543210.csv", "", "upload_from_json.csv"]
)
def test_a_file_that_is_none_of_ours_is_not_read(name: str) -> None:
    assert parse_batch_file_name(name) is None


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Größe M", "groe-m"),
        ("", "export"),
        ("高い", "export"),
        ("a" * 60, "a" * 40),
        ("--", "export"),
    ],
)
def test_an_export_name_is_reduced_to_what_a_file_name_may_hold(name: str, slug: str) -> None:
    assert export_slug(name) == slug


def test_an_export_without_a_name_is_named_after_its_segments(workshop: Any) -> None:
    assert workshop.prepare(ROWS, segments=("Low", "High")).export_name == "high-low"
    assert workshop.prepare(ROWS, name="Weekly").export_name == "weekly"


@pytest.mark.parametrize(
    ("path", "dated"),
    [
        ("p/{as_of}/x.parquet", "p/2026-03-09/x.parquet"),
        ("p/{as_of:%Y/%m/%d}", "p/2026/03/09"),
        ("p/{other}/{as_of}", "p/{other}/2026-03-09"),
    ],
)
def test_as_of_stands_for_the_snapshots_date(workshop: Any, path: str, dated: str) -> None:
    request = workshop.request(path, as_of=date(2026, 3, 9), memberships="{as_of}")
    selection = Selection.from_request(request)
    assert (selection.profiles, selection.memberships) == (dated, "2026-03-09")


@pytest.mark.parametrize(("word", "day"), [("today", "2026-03-09"), ("yesterday", "2026-03-08")])
def test_day_is_that_of_utc_when_the_run_began(workshop: Any, word: str, day: str) -> None:
    request = workshop.request("p/{as_of}", as_of=word)
    began = datetime(2026, 3, 10, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert Selection.from_request(request.dated(began)).profiles == f"p/{day}"
    assert request.dated(began).dated(began + timedelta(days=3)).as_of == day


def test_a_date_without_its_place_and_a_place_without_its_date_are_refused(workshop: Any) -> None:
    with pytest.raises(MappingInvalid, match=r"no path holds {as_of}"):
        workshop.prepare(ROWS, as_of=date(2026, 3, 9))
    with pytest.raises(MappingInvalid, match=r"no snapshot date"):
        workshop.prepare("p/{as_of}")


def test_custom_fields_are_known_by_name(workshop: Any) -> None:
    prepared = workshop.prepare(ROWS, attributes={"First": "cf:Tier", "CustomerId": "city"})
    assert prepared.mapping.custom_fields == ("Tier",)


ERRORS = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and value.__module__ == errors.__name__
]


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_is_exported_and_picklable(error: type[PipelineError]) -> None:
    assert getattr(pipeline, error.__name__) is error
    copy = pickle.loads(pickle.dumps(error("one line")))  # noqa: S301  # our own bytes
    assert (type(copy), str(copy)) == (error, "one line")
    assert issubclass(error, PipelineError)


def test_what_is_public_is_all_there_is() -> None:
    assert all(hasattr(pipeline, name) for name in pipeline.__all__)


def test_names_in_messages_stay_on_one_line() -> None:
    assert errors.one_line("a\nb\u2028c") == "'a\\nb\\u2028c'"


def test_every_rule_is_described_once_for_the_documentation() -> None:
    rows = describe_rules()
    assert len({(row.code, row.field) for row in rows}) == len(rows)
    assert len(rows) == len(REJECT_RULES) + len(AMEND_RULES) + 2
    assert {row.effect for row in rows} == {"rejected", "field left out", "duplicate"}
    assert all(row.rule.endswith(".") and row.source for row in rows)
