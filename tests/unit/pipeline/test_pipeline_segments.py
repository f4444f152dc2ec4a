"""Membership in its four forms; a segment is exactly who the data says is in it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import (
    ColumnMissing,
    ColumnTypeWrong,
    KeysNotUnique,
    MappingInvalid,
    MembershipUnclear,
    TooManyProfiles,
    UnknownSegment,
    list_segments,
)

MEMBERS = {"1": ["High", "Low"], "2": ["High"], "3": ["Low"], "4": [], "5": None}
IDS = list(MEMBERS)
PROFILES = {"CustomerId": IDS, "EMail": [f"user{i}@example.com" for i in IDS]}

Setup = Callable[..., dict[str, Any]]


def _list_column(workshop: Any, profiles: dict[str, Any]) -> dict[str, Any]:
    workshop.write("profiles.parquet", profiles | {"InSegments": list(MEMBERS.values())})
    return {"segments_column": "InSegments"}


def _json_column(workshop: Any, profiles: dict[str, Any]) -> dict[str, Any]:
    texts = [None if names is None else json.dumps(names) for names in MEMBERS.values()]
    workshop.write("profiles.parquet", profiles | {"InSegments": texts})
    return {"segments_column": "InSegments"}


def _dataverse_table(workshop: Any, profiles: dict[str, Any]) -> dict[str, Any]:
    workshop.write("profiles.parquet", profiles)
    texts = ["" if names is None else json.dumps(names) for names in MEMBERS.values()]
    path = workshop.write("m.parquet", {"CustomerId": IDS, "Segments": texts})
    return {"memberships": str(path)}


def _long_table(workshop: Any, profiles: dict[str, Any]) -> dict[str, Any]:
    workshop.write("profiles.parquet", profiles)
    pairs = [(i, name) for i, names in MEMBERS.items() for name in names or []]
    path = workshop.write(
        "m.parquet", {"CustomerId": [i for i, _ in pairs], "SegmentName": [n for _, n in pairs]}
    )
    return {"memberships": str(path)}


def _folder_of_tables(workshop: Any, profiles: dict[str, Any]) -> dict[str, Any]:
    workshop.write("profiles.parquet", profiles)
    workshop.write("m/High.parquet", {"CustomerId": ["1", "2"]})
    workshop.write("m/Low/part-0.parquet", {"CustomerId": ["3"]})
    workshop.write("m/Low/part-1.parquet", {"CustomerId": ["1"]})
    workshop.write("m/Low/_delta_log/x.parquet", {"other": [1]})
    return {"memberships": str(workshop.folder / "m")}


FORMS = [_list_column, _json_column, _dataverse_table, _long_table, _folder_of_tables]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("segments", "ids"),
    [(("High",), "12"), (("Low",), "13"), (("High", "Low"), "123"), (("High", "High"), "12")],
)
def test_several_segments_in_one_export_are_a_union_in_every_form(
    workshop: Any, form: Setup, segments: tuple[str, ...], ids: str
) -> None:
    settings = form(workshop, PROFILES)
    prepared = workshop.prepare(segments=segments, **settings)
    assert prepared.verdicts.profiles_in_segment == len(ids)
    sent = {batch["email"] for batch in workshop.contacts(segments=segments, **settings)}
    assert sent == {f"user{i}@example.com" for i in ids}


@pytest.mark.parametrize("form", [_dataverse_table, _long_table, _folder_of_tables])
def test_keys_compare_as_text_when_types_differ(workshop: Any, form: Setup) -> None:
    numbers = {**PROFILES, "CustomerId": [1, 2, 3, 4, 5]}
    settings = form(workshop, numbers)
    assert workshop.prepare(segments=("High",), **settings).verdicts.sent == 2


@pytest.mark.parametrize("form", FORMS)
def test_an_unknown_segment_is_an_error_that_lists_the_names_there_are(
    workshop: Any, form: Setup
) -> None:
    settings = form(workshop, PROFILES)
    with pytest.raises(UnknownSegment) as refused:
        workshop.prepare(segments=("High", "Hihg"), **settings)
    assert "'Hihg'" in str(refused.value)
    assert "there are: 'High', 'Low'" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unknown_segment_among_very_many_lists_fifty_names(workshop: Any) -> None:
    names = [f"S{i:03}" for i in range(120)]
    with pytest.raises(UnknownSegment, match=r"'S049' and 70 more"):
        workshop.prepare(
            {"CustomerId": names, "EMail": names, "Segments": [[n] for n in names]},
            segments=("T",),
        )


ADDRESSES = ["ann@example.com", "High"]
PHONES = ["+44 (0)20 7946-0958", "High"]
LONG_NUMBERS = ["K-123456789", "20260131", "High"]
VERY_MANY = [f"MARKER{i}" for i in range(201)]


FORMS_OF_NAMES = ["list", "json", "long", "dataverse"]


def _write_names(workshop: Any, form: str, names: list[str]) -> dict[str, str]:
    """Write a customer a name, in any form in which names are in a column."""
    keys = [str(number) for number in range(len(names))]
    rows: dict[str, Any] = {"CustomerId": keys, "EMail": keys}
    texts = [json.dumps([name]) for name in names]
    if form in {"list", "json"}:
        rows["Named"] = texts if form == "json" else [[name] for name in names]
    workshop.write("profiles.parquet", rows)
    if form in {"list", "json"}:
        return {"segments_column": "Named"}
    column = {"SegmentName": names} if form == "long" else {"Segments": texts}
    return {"memberships": str(workshop.write("m.parquet", {"CustomerId": keys, **column}))}


@pytest.mark.parametrize("form", FORMS_OF_NAMES)
@pytest.mark.parametrize(
    ("values", "count"),
    [(ADDRESSES, "2"), (PHONES, "2"), (LONG_NUMBERS, "3"), (VERY_MANY, "201")],
)
def test_a_column_that_does_not_look_like_segments_is_not_listed(
    workshop: Any, form: str, values: list[str], count: str
) -> None:
    with pytest.raises(UnknownSegment) as refused:
        workshop.prepare(segments=("Gold",), **_write_names(workshop, form, values))
    message = str(refused.value)
    assert "know no segment 'Gold'" in message
    assert f"holds {count} different values and does not look like" in message
    assert not any(value in message for value in values)


@pytest.mark.parametrize("form", FORMS_OF_NAMES)
def test_names_that_hold_numbers_or_an_at_sign_are_listed_as_any_others(
    workshop: Any, form: str
) -> None:
    names = ["18-24", "2026", "Q1/2026", "Sale @ Berlin", "VIP", "100.000+"]
    with pytest.raises(UnknownSegment) as refused:
        workshop.prepare(segments=("Vip",), **_write_names(workshop, form, names))
    assert str(refused.value).endswith(
        "know no segment 'Vip'; there are: '100.000+', '18-24', '2026', 'Q1/2026', "
        "'Sale @ Berlin', 'VIP'."
    )


@pytest.mark.parametrize("form", FORMS_OF_NAMES)
@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["ann@example.com", "+44 20 7946-0958"], "and 2 more that look like values."),
        (["Ann <ann@example.com>"], "and 1 more that looks like a value."),
    ],
)
def test_names_that_look_like_values_are_counted_and_the_others_listed(
    workshop: Any, form: str, values: list[str], said: str
) -> None:
    settings = _write_names(workshop, form, ["18-24", "S", "VIP", *values])
    with pytest.raises(UnknownSegment) as refused:
        workshop.prepare(segments=("Vip",), **settings)
    assert str(refused.value).endswith(f"there are: '18-24', 'S', 'VIP' {said}")
    request = workshop.request(segments=("Vip",), **settings)
    assert list_segments(request) == ["18-24", "S", "VIP"]


def test_200_names_are_still_segments(workshop: Any) -> None:
    names = VERY_MANY[:200]
    rows = {"CustomerId": names, "EMail": names, "Segments": [[name] for name in names]}
    with pytest.raises(UnknownSegment, match=r"'MARKER0', .* and 150 more"):
        workshop.prepare(rows)


def test_an_empty_table_of_a_segment_is_a_segment_without_members(workshop: Any) -> None:
    settings = _folder_of_tables(workshop, PROFILES)
    workshop.write("m/Nobody.parquet", pl.DataFrame(schema={"CustomerId": pl.String}))
    prepared = workshop.prepare(segments=("Nobody",), **settings)
    assert prepared.verdicts.profiles_in_segment == 0
    assert list(prepared.iter_batches(1000)) == []


def test_members_without_a_profile_are_counted(workshop: Any) -> None:
    workshop.write("profiles.parquet", PROFILES)
    table = {"CustomerId": ["1", "8", "9", "9", None], "SegmentName": ["High"] * 5}
    path = workshop.write("m.parquet", table)
    prepared = workshop.prepare(memberships=str(path))
    assert prepared.members_without_profile == 2
    assert prepared.verdicts.profiles_in_segment == 1


@pytest.mark.parametrize("form", ["long", "dataverse", "folder"])
@pytest.mark.parametrize(
    ("keys", "count"), [(["0001", "0002", "0002"], "2"), ([None, " ", "0001"], "3")]
)
def test_members_none_of_whom_has_a_profile_are_refused_naming_both_tables(
    workshop: Any, form: str, keys: list[str | None], count: str
) -> None:
    workshop.write("profiles.parquet", PROFILES)
    frame = pl.DataFrame({"CustomerId": keys}, schema={"CustomerId": pl.String})
    named = {"long": ("SegmentName", "High"), "dataverse": ("Segments", '["High"]')}
    if form == "folder":
        memberships = workshop.write("m/High.parquet", frame).parent
    else:
        column, text = named[form]
        memberships = workshop.write("m.parquet", frame.with_columns(pl.lit(text).alias(column)))
    with pytest.raises(ColumnTypeWrong) as refused:
        workshop.prepare(memberships=str(memberships))
    message = str(refused.value)
    assert message.startswith(f"None of the segments' members ({count}) has a profile: check")
    assert "'CustomerId' (--customer-id)" in message
    assert f"memberships '{memberships}'" in message
    assert f"profiles '{workshop.folder / 'profiles.parquet'}'" in message
    assert "0001" not in message


@pytest.mark.parametrize("names", ["list", "json"])
@pytest.mark.parametrize("column", ["SegmentName", "Segments", "CustomerSegments"])
def test_a_column_of_the_profiles_lists_segments_under_any_name(
    workshop: Any, names: str, column: str
) -> None:
    lists = [["High"], ["Low"], ["Low", "High"], [], None]
    texts = [None if each is None else json.dumps(each) for each in lists]
    workshop.write("profiles.parquet", PROFILES | {column: lists if names == "list" else texts})
    assert workshop.prepare(segments_column=column).verdicts.sent == 2
    assert list_segments(workshop.request(segments_column=column)) == ["High", "Low"]


@pytest.mark.parametrize("is_arrow", [True, False])
@pytest.mark.parametrize("form", ["column", "table"])
def test_a_column_of_parquets_json_type_holds_json_lists(
    workshop: Any, is_arrow: bool, form: str
) -> None:
    texts = ['["High"]', '["Low", "High"]', "[]", None, '["Low"]']
    segments = pa.ExtensionArray.from_storage(pa.json_(), pa.array(texts))
    keys = pa.array(IDS)
    columns = {"CustomerId": keys, "Segments": segments}
    workshop.write("profiles.parquet", PROFILES)
    path = workshop.folder / ("m.parquet" if form == "table" else "profiles.parquet")
    if form == "column":
        columns["EMail"] = pa.array(PROFILES["EMail"])
    pq.write_table(pa.table(columns), path, store_schema=is_arrow)
    settings = {"memberships": str(path)} if form == "table" else {}
    assert workshop.prepare(**settings).verdicts.sent == 2
    with pytest.raises(UnknownSegment, match=r"there are: 'High', 'Low'\."):
        workshop.prepare(segments=("Hihg",), **settings)


def test_json_that_is_not_utf_8_is_refused_with_its_number_of_rows(workshop: Any) -> None:
    path = workshop.folder / "profiles.parquet"
    texts = pa.array(['["High"]', '["Hoch"]', "[]", None, '["Hoch"]'])
    segments = pa.ExtensionArray.from_storage(pa.json_(), texts)
    table = pa.table(PROFILES).append_column("Segments", segments)
    pq.write_table(
        table, path, store_schema=False, use_dictionary=False, compression="none",
        write_statistics=False,
    )  # fmt: skip
    path.write_bytes(path.read_bytes().replace(b'["Hoch"]', b'["H\xf6he"]'))
    with pytest.raises(ColumnTypeWrong, match=r"'Segments' .* no JSON list .* in 2 rows"):
        workshop.prepare()


@pytest.mark.parametrize(
    "broken", ["High", '{"High": 1}', "[1, 2]", '"High"', '["High"', "[[]]", "[null]"]
)
def test_a_string_that_is_no_json_list_is_refused_without_quoting_it(
    workshop: Any, broken: str
) -> None:
    with pytest.raises(ColumnTypeWrong) as refused:
        workshop.prepare({**PROFILES, "Segments": ['["High"]', broken, broken, None, " "]})
    assert "'Segments'" in str(refused.value)
    assert "in 2 rows" in str(refused.value)
    assert broken not in str(refused.value).replace('["High", "Newsletter"]', "")


def test_names_are_taken_as_json_says_them(workshop: Any) -> None:
    texts = [r'["Gr\u00f6\u00dfe"]', '["Größe", "a\\"b"]', '["GRÖSSE"]', "[]", "null"]
    prepared = workshop.prepare({**PROFILES, "Segments": texts}, segments=("Größe",))
    assert prepared.verdicts.sent == 2


def test_only_segments_can_be_exported_never_everyone_by_default(workshop: Any) -> None:
    with pytest.raises(MembershipUnclear, match=r"--segments-column.*--memberships"):
        workshop.prepare(PROFILES)


def test_a_table_that_says_nothing_about_segments_is_refused(workshop: Any) -> None:
    path = workshop.write("m.parquet", {"CustomerId": ["1"]})
    with pytest.raises(MembershipUnclear, match=r"'Segments' nor a column 'SegmentName'"):
        workshop.prepare(PROFILES, memberships=str(path))
    both = {"CustomerId": ["1"], "Segments": ["[]"], "SegmentName": ["High"]}
    path = workshop.write("m.parquet", both)
    with pytest.raises(MembershipUnclear, match=r"both"):
        workshop.prepare(PROFILES, memberships=str(path))


def test_membership_given_twice_is_refused(workshop: Any) -> None:
    with pytest.raises(MappingInvalid, match=r"not both"):
        workshop.prepare(PROFILES, segments_column="S", memberships="m.parquet")


def test_a_segments_table_without_the_key_is_refused(workshop: Any) -> None:
    workshop.write("m/High.parquet", {"Customer": ["1"]})
    with pytest.raises(ColumnMissing, match=r"'High'.*'CustomerId'.*did you mean 'Customer'"):
        workshop.prepare(PROFILES, memberships=str(workshop.folder / "m"))


@pytest.mark.parametrize("keys", [["1", "1", "2", "3", "3"], [1, 1, 2, 3, 3]])
def test_keys_that_repeat_are_refused_with_their_number(workshop: Any, keys: list[Any]) -> None:
    rows = {**PROFILES, "CustomerId": keys, "Segments": [["High"]] * 5}
    with pytest.raises(KeysNotUnique, match=r"repeats itself in 2 of the profiles"):
        workshop.prepare(rows)


def test_keys_that_repeat_outside_the_segments_do_no_harm(workshop: Any) -> None:
    rows = {**PROFILES, "CustomerId": list("11234")}
    rows["Segments"] = [["Low"], ["Low"], ["High"], ["High"], ["High"]]
    assert workshop.prepare(rows).verdicts.sent == 3


def test_more_than_max_profiles_are_refused_with_both_numbers(workshop: Any) -> None:
    rows = {**PROFILES, "Segments": [["High"]] * 5}
    assert workshop.prepare(rows, max_profiles=5).verdicts.sent == 5
    with pytest.raises(TooManyProfiles, match=r"hold 5 profiles and at most 4"):
        workshop.prepare(rows, max_profiles=4)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("CustomerId", [1.0] * 5),
        ("CustomerId", [b"1"] * 5),
        ("Segments", [1] * 5),
        ("Segments", [b'["High"]'] * 5),
    ],
)
def test_a_column_that_cannot_serve_is_refused_by_name_and_type(
    workshop: Any, column: str, values: list[Any]
) -> None:
    rows = PROFILES | {"Segments": [["High"]] * 5} | {column: values}
    with pytest.raises(ColumnTypeWrong, match=f"'{column}'.*(Float64|Binary|Int64)"):
        workshop.prepare(rows)


@pytest.mark.parametrize(
    "segments", [("Loyalty_High",), ("Loyalty_Low", "High_Income"), ("Email_Subscribers",)]
)
def test_microsofts_sample_has_the_sizes_that_duckdb_counts(
    workshop: Any, sample: Path, segments: tuple[str, ...]
) -> None:
    memberships = sample / "microsoft_sample_memberships.parquet"
    profiles = sample / "microsoft_sample_profiles.parquet"
    counted = duckdb.execute(
        """select count(distinct p.CustomerId) from read_parquet(?) m
           join read_parquet(?) p using (CustomerId)
           where list_has_any(from_json(m.Segments, '["VARCHAR"]'), ?)""",
        [str(memberships), str(profiles), list(segments)],
    ).fetchone()
    prepared = workshop.prepare(profiles, memberships=str(memberships), segments=segments)
    assert counted is not None
    assert prepared.verdicts.profiles_in_segment == counted[0]
    if segments == ("Loyalty_High",):
        assert counted[0] == 443
