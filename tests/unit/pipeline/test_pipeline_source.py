"""Tables wherever and however they are stored."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pipeline.listing
import pipeline.source
from pipeline import ColumnMissing, SourceChanged, SourceUnreadable
from pipeline.source import open_table
from pipeline.text_forms import text_of
from tests.unit.pipeline.object_store import serving
from tests.unit.pipeline.reading import ROWS, read

IN_HIGH = {"Segments": [["High"]] * 3}


@pytest.mark.parametrize(
    "location", ["{f}", "{f}/*/*.parquet", "{f}/**/*.parquet", "{f}/year=*", "file://{f}"]
)
def test_a_folder_a_glob_and_a_url_are_the_same_table(workshop: Any, location: str) -> None:
    for part, value in enumerate("abc"):
        workshop.write(f"t/year=2026/part-{part}.parquet", {"CustomerId": [value]})
    workshop.write("t/_delta_log/1.parquet", {"other": [1]})
    workshop.write("t/year=2026/.hidden.parquet", {"other": [1]})
    (workshop.folder / "t" / "year=2026" / "_SUCCESS").touch()
    table = open_table(location.format(f=workshop.folder / "t"))
    frames = [frame for _, frame in table.iter_slices(["CustomerId"])]
    assert pl.concat(frames)["CustomerId"].to_list() == list("abc")
    assert table.rows == 3


def test_a_url_with_a_wildcard_is_a_glob(workshop: Any) -> None:
    for name in ("a1", "a2", "b1"):
        workshop.write(f"t/{name}.parquet", {"CustomerId": [name]})
    table = open_table(f"file://{workshop.folder}/t/a*.parquet")
    assert [file.name for file in table.files] == ["a1.parquet", "a2.parquet"]


def test_slices_hold_every_row_once_in_order_however_the_file_is_grouped(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.source, "SLICE_MOST_ROWS", 100)
    numbers = pl.int_range(1000, eager=True).alias("n")
    (workshop.folder / "t").mkdir()
    for part, group_rows in enumerate((1000, 7, 90)):
        numbers.to_frame().with_columns(n=pl.col("n") + 1000 * part).write_parquet(
            workshop.folder / "t" / f"{part}.parquet", row_group_size=group_rows
        )
    table = open_table(str(workshop.folder / "t"))
    slices = list(table.iter_slices(["n"]))
    assert max(frame.height for _, frame in slices) <= 100
    assert pl.concat([frame for _, frame in slices])["n"].to_list() == list(range(3000))
    assert pl.concat([rows for rows, _ in slices]).to_list() == list(range(3000))


def test_slices_hold_just_the_rows_asked_for_and_no_others_are_read(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.source, "SLICE_MOST_ROWS", 10)
    workshop.write("t.parquet", {"n": list(range(100))})
    table = open_table(str(workshop.folder / "t.parquet"))
    wanted = pl.Series([9, 10, 55, 99], dtype=pl.UInt32)
    slices = list(table.iter_slices(["n"], wanted))
    assert [frame["n"].to_list() for _, frame in slices] == [[9], [10], [55], [99]]


def test_only_one_slice_is_read_ahead_of_a_slow_consumer(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.source, "SLICE_MOST_ROWS", 10)
    workshop.write("t.parquet", {"n": list(range(100))})
    table = open_table(str(workshop.folder / "t.parquet"))
    read: list[int] = []
    slices = table.map_slices(lambda rows, _: read.append(rows[0]), ["n"])
    next(slices)
    next(slices)
    assert len(read) <= 3
    slices.close()


@pytest.mark.parametrize("change", ["rewritten", "touched", "removed"])
def test_a_file_that_changes_between_the_passes_stops_the_export(
    workshop: Any, change: str
) -> None:
    prepared = workshop.prepare(ROWS | IN_HIGH)
    path = workshop.folder / "profiles.parquet"
    if change == "rewritten":
        workshop.write("profiles.parquet", {**ROWS, **IN_HIGH, "EMail": ["d@x.com"] * 3})
    elif change == "touched":
        os.utime(path, ns=(1, 1))
    else:
        path.unlink()
    with pytest.raises(SourceChanged, match=r"profiles.parquet.*start it again"):
        list(prepared.iter_batches(1_000))


def test_the_same_store_mounted_elsewhere_has_the_same_snapshot(workshop: Any) -> None:
    for folder in ("here", "there"):
        path = workshop.write(f"{folder}/day/p.parquet", ROWS)
        path.write_bytes((workshop.folder / "here/day/p.parquet").read_bytes())
        os.utime(path, ns=(5, 5))
    here, there = (open_table(str(workshop.folder / folder)) for folder in ("here", "there"))
    assert here.snapshot() == there.snapshot()
    assert here.snapshot()[0][0] == "day/p.parquet"


def test_files_of_different_tables_are_an_error_that_names_the_odd_one(workshop: Any) -> None:
    workshop.write("t/a.parquet", {"x": [1], "y": ["1"]})
    workshop.write("t/b.parquet", {"x": [1], "y": [1]})
    workshop.write("t/c.parquet", {"x": [1], "y": ["1"], "z": [1]})
    table = open_table(str(workshop.folder / "t"))
    assert table.column_type("x", "key column") == pl.Int64
    for column, said in {
        "y": "b.parquet' of the profiles has other columns than 'a.parquet': 'y' is int64 instead",
        "z": "'z' is in this one only",
    }.items():
        with pytest.raises(SourceUnreadable, match="Give a folder") as refused:
            table.column_type(column, "attribute")
        assert said in str(refused.value)


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_a_column_that_is_missing_here_and_empty_there_troubles_nobody_who_does_not_need_it(
    tmp_path: Path, names: str
) -> None:
    lacking, empty = (tmp_path / f"{name}.parquet" for name in names)
    pq.write_table(pa.table({"x": ["1"]}), lacking)
    pq.write_table(pa.table({"x": ["2"], "y": pa.nulls(1)}), empty)
    assert len(read(tmp_path, "x")) == 2
    with pytest.raises(SourceUnreadable, match=r"'y' is (missing|in this one only)"):
        open_table(str(tmp_path)).column_type("y", "attribute")


def test_files_that_differ_in_their_arrow_dress_only_are_one_table(tmp_path: Path) -> None:
    words, lists = ["x", None], [["a"], None]
    dresses = [
        (pa.string(), pa.list_(pa.field("item", pa.string())), pa.int64()),
        (pa.large_string(), pa.large_list(pa.field("element", pa.large_string())), pa.int32()),
        (pa.dictionary(pa.int8(), pa.string()), pa.null(), pa.null()),
        (pa.null(), pa.list_(pa.field("item", pa.string())), pa.string()),
    ]
    for number, types in enumerate(dresses):
        values = [
            pa.array([None, None], dress) if pa.types.is_null(dress) else pa.array(some, dress)
            for some, dress in zip((words, lists), types, strict=False)
        ]
        unneeded = pa.nulls(2, types[2])
        pq.write_table(
            pa.table([*values, unneeded], ["t", "l", "u"]),
            tmp_path / f"{number}.parquet",
            use_compliant_nested_type=number > 0,  # else the items are called as Arrow calls them
        )
    rows = read(tmp_path, "t", "l")
    assert [row["t"] for row in rows] == ["x", None] * 3 + [None, None]
    assert [row["l"] for row in rows] == [["a"], None] * 2 + [None, None, ["a"], None]


def test_enumerations_of_several_files_are_read_as_text(workshop: Any) -> None:
    for number, value in enumerate("xz"):
        rows = pl.DataFrame({"e": pl.Series([value], dtype=pl.Enum([value]))})
        workshop.write(f"t/{number}.parquet", rows)
    assert [row["e"] for row in read(workshop.folder / "t", "e")] == ["x", "z"]


@pytest.mark.parametrize("zone", ["+05:30", "-03:30", "Z", "Nowhere/Land", "Europe/Berlin"])
def test_instants_of_any_zone_are_read_as_the_instants_they_are(tmp_path: Path, zone: str) -> None:
    instants = pa.array([0, None], pa.int64()).cast(pa.timestamp("us", tz=zone))
    pq.write_table(pa.table({"t": instants, "x": ["a", "b"]}), tmp_path / "t.parquet")
    assert [row["x"] for row in read(tmp_path / "t.parquet", "x")] == ["a", "b"]
    (frame,) = (frame for _, frame in open_table(str(tmp_path)).iter_slices(["t"]))
    assert text_of(frame["t"]).to_list() == ["1970-01-01T00:00:00Z", None]


@pytest.mark.parametrize("name", ["*", "^c.*$", "a b", ""])
def test_a_column_is_found_by_its_name_whatever_pattern_that_looks_like(
    workshop: Any, name: str
) -> None:
    path = workshop.write("t.parquet", {"c1": [1], "c2": [2], name: [3]})
    assert read(path, name) == [{name: 3}]


@pytest.mark.parametrize("scheme", ["", "file://"])
@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", ["b", "x/y/a"]),
        ("/*", ["b", "x/y/a"]),
        ("/**", ["b", "x/y/a"]),
        ("/**/*", ["b", "x/y/a"]),
        ("/**/*.parquet", ["b", "x/y/a"]),
        ("/x/**/a.parquet", ["y/a"]),
        ("/*.parquet", ["b"]),
        ("/x", ["y/a"]),
        ("/[x]", ["x/y/a"]),
        ("/*/y", ["x/y/a"]),
    ],
)
def test_a_pattern_means_the_same_everywhere_and_each_file_is_read_once(
    workshop: Any, scheme: str, pattern: str, expected: list[str]
) -> None:
    for name in ("b.parquet", "x/y/a.parquet", "x/_old/c.parquet", "x/.c.parquet"):
        workshop.write(f"t/{name}", {"x": [name]})
    (workshop.folder / "t" / "notes.parquet.txt").touch()
    if pattern in {"/*", "/**/*"}:
        (workshop.folder / "t" / "notes.parquet.txt").unlink()  # it is asked for, and no Parquet
    table = open_table(f"{scheme}{workshop.folder}/t{pattern}")
    assert [file.name.removesuffix(".parquet") for file in table.files] == expected


def test_links_are_followed_once_and_never_in_a_circle(workshop: Any) -> None:
    path = workshop.write("t/sub/a.parquet", ROWS)
    (workshop.folder / "t" / "sub" / "up").symlink_to(workshop.folder / "t")
    (workshop.folder / "t" / "b.parquet").symlink_to(path)
    workshop.write("elsewhere/c.parquet", ROWS)
    (workshop.folder / "t" / "linked").symlink_to(workshop.folder / "elsewhere")
    (workshop.folder / "t" / "sub" / "z.parquet").symlink_to(path)
    for location in ("t", "t/**", "t/**/*.parquet", "[t]/**/*.parquet"):
        table = open_table(str(workshop.folder / location))
        names = [file.name.removeprefix("t/") for file in table.files]
        assert names == ["b.parquet", "linked/c.parquet"], location


def test_a_pattern_looks_into_no_folder_that_it_cannot_mean(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.write("t-1/a/p.parquet", ROWS)
    workshop.write("other/p.parquet", ROWS)
    walked: list[Path] = []
    walk = pipeline.listing._walk

    def watch(folder: Path) -> Iterator[Path]:
        walked.append(folder)
        yield from walk(folder)

    monkeypatch.setattr(pipeline.listing, "_walk", watch)
    assert open_table(f"{workshop.folder}/t-*/**/*.parquet").rows == 3
    assert walked == [workshop.folder / "t-1"]


@pytest.mark.parametrize("name", ["High Value", "Ünïcode", "a{b}", "High%2FValue", "#1", "a+b=c"])
def test_a_name_in_a_store_is_read_as_it_is(workshop: Any, name: str) -> None:
    workshop.write(f"{name}/{name}.parquet", {"x": [1]})
    for location in (f"{workshop.folder}", f"{workshop.folder}/{name}"):
        table = open_table(f"file://{location}")
        assert table.files[0].name.endswith(f"{name}.parquet")
        assert read(f"file://{location}", "x") == [{"x": 1}]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"email": "Email"}, r"'Email' \(e-mail column\): did you mean 'EMail'"),
        ({"customer_id": "custmerid"}, r"'custmerid' \(key column\): did you mean 'CustomerId'"),
        ({"first_name": "Zzz"}, r"'Zzz' .*there are: 'CustomerId', 'EMail', 'Segments'"),
        ({"newest_by": "Zzz"}, r"'Zzz' \(newest by\)"),
        ({"segments_column": "Segment"}, r"'Segment' .*did you mean 'Segments'"),
    ],
)
def test_a_missing_column_is_named_with_its_nearest(
    workshop: Any, settings: dict[str, str], said: str
) -> None:
    with pytest.raises(ColumnMissing, match=said) as refused:
        workshop.prepare(ROWS | IN_HIGH, **settings)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("location", ["gs://bucket/x.parquet", "https://example.com/x.parquet"])
def test_a_store_that_cannot_be_read_is_refused_at_once(location: str) -> None:
    with pytest.raises(SourceUnreadable, match="s3:// or abfss://"):
        open_table(location)


ODD_NAMES = ["High Value/p.parquet", "Ünï{x}.parquet", "High%2FValue.parquet", "a+b=c#1.parquet"]


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("s3://bucket", sorted(ODD_NAMES)),
        ("s3://bucket/**", sorted(ODD_NAMES)),
        ("s3://bucket/*", sorted(ODD_NAMES)),
        ("s3://bucket/*.parquet", sorted(ODD_NAMES[1:])),
        ("s3://bucket/High Value", ["p.parquet"]),
        ("s3://bucket/High Value/p.parquet", ["p.parquet"]),
    ],
)
def test_what_an_object_store_holds_is_read_whatever_its_names(
    workshop: Any, monkeypatch: pytest.MonkeyPatch, location: str, expected: list[str]
) -> None:
    for name in ODD_NAMES:
        workshop.write(f"store/bucket/{name}", {"name": [name]})
    with serving(workshop.folder / "store") as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        table = open_table(location)
        assert [file.name for file in table.files] == expected
        found = [row["name"] for row in read(location, "name")]
        assert all(name.endswith(asked) for name, asked in zip(found, expected, strict=True))
