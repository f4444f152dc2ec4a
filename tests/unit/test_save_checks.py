"""What can be known of a source without judging a profile: whether an export fits, what it has."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from deployments.form_choices import add_choices, allow_connection
from pipeline import (
    ColumnMissing,
    MappingInvalid,
    PipelineError,
    SourceMissing,
    UnknownSegment,
    check_coming_source,
    check_source,
    list_segments,
)
from schemas.export import ExportRequest

SEGMENTS = [["Gold"], ["Gold", "Silver"], []]
KEYS = ["a", "b", "c"]


def make_request(folder: Path, form: str, **more: Any) -> ExportRequest:
    """Write profiles with membership in one of its forms, and ask for Gold."""
    profiles = {"CustomerId": KEYS, "EMail": [f"{key}@example.com" for key in KEYS]}
    beside: dict[str, str] = {}
    if form == "column":
        pl.DataFrame({**profiles, "Segments": SEGMENTS}).write_parquet(folder / "p.parquet")
        beside = {"segments_column": "Segments"}
    else:
        pl.DataFrame(profiles).write_parquet(folder / "p.parquet")
    tables: dict[str, dict[str, Any]] = {
        "json": {"CustomerId": KEYS, "Segments": ['["Gold"]', '["Gold", "Silver"]', ""]},
        "long": {"CustomerId": ["a", "b", "b"], "SegmentName": ["Gold", "Gold", "Silver"]},
    }
    if form in tables:
        pl.DataFrame(tables[form]).write_parquet(folder / "m.parquet")
        beside = {"memberships": str(folder / "m.parquet")}
    if form == "folder":
        (folder / "m").mkdir()
        for name in ("Gold", "Silver"):
            pl.DataFrame({"CustomerId": ["a"]}).write_parquet(folder / "m" / f"{name}.parquet")
        beside = {"memberships": str(folder / "m")}
    return ExportRequest(
        **{
            "connection": "acme",
            "list_id": "1",
            "profiles": str(folder / "p.parquet"),
            "segments": ("Gold",),
            "email": "EMail",
            **beside,
            **more,
        }
    )


FORMS = ["column", "json", "long", "folder"]


@pytest.mark.parametrize("form", FORMS)
def test_source_is_checked_and_asked_for_its_segments_in_each_form(
    tmp_path: Path, form: str
) -> None:
    request = make_request(tmp_path, form)
    check_source(request)
    assert list_segments(request) == ["Gold", "Silver"]
    with pytest.raises(UnknownSegment, match="Silver"):
        check_source(request.model_copy(update={"segments": ("Platinum",)}))


@pytest.mark.parametrize(
    "wrong",
    [{"email": "Mail"}, {"first_name": "Vorname"}, {"newest_by": "Changed"}, {"customer_id": "Id"}],
)
def test_missing_column_is_refused(tmp_path: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(ColumnMissing):
        check_source(make_request(tmp_path, "column", **wrong))


def test_source_that_is_not_there_is_refused_and_has_no_segments(tmp_path: Path) -> None:
    request = make_request(tmp_path, "column", profiles=str(tmp_path / "none.parquet"))
    assert list_segments(request) == []
    with pytest.raises(PipelineError):
        check_source(request)


def dated(folder: Path, form: str, **more: Any) -> ExportRequest:
    """Ask for profiles whose path holds a date; there are those of 2026-01-31."""
    request = make_request(folder, form)
    (folder / "2026-01-31").mkdir()
    (folder / "p.parquet").rename(folder / "2026-01-31" / "p.parquet")
    return request.model_copy(
        update={"profiles": str(folder / "{as_of}" / "p.parquet"), "as_of": "2026-01-31", **more}
    )


@pytest.mark.parametrize("form", FORMS)
def test_source_of_a_date_is_checked_where_it_is_there(tmp_path: Path, form: str) -> None:
    request = dated(tmp_path, form)
    assert check_coming_source(request) == ""
    with pytest.raises(UnknownSegment):
        check_coming_source(request.model_copy(update={"segments": ("Platinum",)}))
    with pytest.raises(ColumnMissing):
        check_coming_source(request.model_copy(update={"email": "Mail"}))


def test_source_of_a_date_may_come_later_and_is_named(tmp_path: Path) -> None:
    request = dated(tmp_path, "column")
    later = check_coming_source(request.model_copy(update={"as_of": "2026-02-28"}))
    assert str(tmp_path / "2026-02-28" / "p.parquet") in later
    for word in ("today", "yesterday"):
        assert "do not exist" in check_coming_source(request.model_copy(update={"as_of": word}))
    assert "no snapshot date" in check_coming_source(request.model_copy(update={"as_of": ""}))


@pytest.mark.parametrize("as_of", ["", "today"])
@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"memberships": "nowhere.parquet"}, SourceMissing),
        ({"profiles": "{as_of:%Q}{as_of!x}"}, MappingInvalid),
        ({"segments": (" ",)}, MappingInvalid),
    ],
    ids=["memberships", "date form", "segment"],
)
def test_other_mistakes_of_a_source_that_comes_later_are_refused(
    tmp_path: Path, as_of: str, wrong: dict[str, Any], error: type[PipelineError]
) -> None:
    with pytest.raises(error):
        check_coming_source(dated(tmp_path, "long", as_of=as_of, **wrong))


def test_addresses_are_never_offered_as_segments(tmp_path: Path) -> None:
    request = make_request(tmp_path, "column")
    pl.DataFrame({"CustomerId": ["a"], "Mail": ['["a@example.com"]']}).write_parquet(
        tmp_path / "p.parquet"
    )
    assert list_segments(request.model_copy(update={"segments_column": "Mail"})) == []


SCHEMA: dict[str, Any] = {
    "definitions": {
        "ExportRequest": {
            "properties": {
                "connection": {"type": "string"},
                "segments": {"type": "array", "description": "Names."},
            }
        }
    }
}


def choices(schema: dict[str, Any]) -> tuple[Any, Any]:
    fields = schema["definitions"]["ExportRequest"]["properties"]
    return fields["connection"].get("enum"), fields["segments"]["description"]


def test_form_offers_what_there_is_and_what_is_saved() -> None:
    saved = {"connection": "Old one", "segments": ["Gone"]}
    schema = add_choices(SCHEMA, saved=saved, connections=["b", "a"], segments=["Gold", "Silver"])
    told = "Names. When it was saved there were: Gold, Silver."
    assert choices(schema) == (["Old one", "a", "b"], told)
    assert choices(SCHEMA) == (None, "Names.")
    without = allow_connection(schema, "")
    assert choices(without)[0] == ["", "Old one", "a", "b"]
    assert choices(allow_connection(without, "c"))[0] == ["Old one", "a", "b", "c"]


def test_form_stays_free_where_nothing_is_known() -> None:
    schema = add_choices(SCHEMA, saved={"segments": ["Gold"]}, connections=[], segments=[])
    assert choices(schema) == (None, "Names.")
    assert allow_connection(schema, "") == SCHEMA


def test_form_tells_of_fifty_segments_at_most() -> None:
    names = [f"Segment {number}" for number in range(60)]
    schema = add_choices(SCHEMA, saved={}, connections=[], segments=names)
    assert choices(schema)[1].endswith(", Segment 49 and 10 more.")


def test_form_keeps_what_it_tells_when_connections_change() -> None:
    told = add_choices(SCHEMA, saved={}, connections=["a"], segments=["Gold"])
    renewed = add_choices(told, saved={}, connections=["a", "b"])
    assert choices(renewed) == (["a", "b"], choices(told)[1])
