"""Bad input: one clear line, exit code 2, nothing uploaded."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.conftest import Finished, World


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    profiles = pl.DataFrame(
        {
            "CustomerId": ["a", "b", "c"],
            "EMail": ["a@example.com", "b@example.com", "c@example.com"],
            "Age": [1, 2, 3],
            "Segments": [["Gold", "Silver"], ["Gold"], ["Silver"]],
        }
    )
    profiles.write_parquet(folder / "profiles.parquet")
    whole = (folder / "profiles.parquet").read_bytes()
    (folder / "corrupt.parquet").write_bytes(whole[: len(whole) // 2])
    pl.DataFrame({"CustomerId": ["a"], "SegmentName": ["Gold"]}).write_parquet(
        folder / "long.parquet"
    )
    segments = folder / "segments"
    segments.mkdir()
    pl.DataFrame({"CustomerId": ["a"]}).write_parquet(segments / "Gold.parquet")
    pl.DataFrame(schema={"CustomerId": pl.String}).write_parquet(segments / "Empty.parquet")
    return folder


GOOD = {
    "--profiles": "profiles.parquet",
    "--segments-column": "Segments",
    "--segment": "Gold",
    "--email": "EMail",
}
CASES: dict[str, tuple[dict[str, str], list[str]]] = {
    "missing file": ({"--profiles": "nowhere.parquet"}, ["nowhere.parquet"]),
    "corrupt Parquet": ({"--profiles": "corrupt.parquet"}, ["corrupt.parquet"]),
    "missing column, near match named": ({"--email": "Email"}, ["'Email'", "'EMail'"]),
    "unknown segment, known ones listed": (
        {"--segment": "Platinum"},
        ["'Platinum'", "'Gold'", "'Silver'"],
    ),
    "too many profiles": ({"--max-profiles": "1"}, ["2", "1"]),
    "wrong type of a column": ({"--email": "Age"}, ["'Age'"]),
    "unknown connection": ({"--connection": "nobody"}, ["nobody"]),
    "connection taken away": ({"--connection": " "}, ["no connection any more", "administrator"]),
    "unknown list": (
        {"--list-id": "00000000-0000-4000-8000-000000000000"},
        ["00000000-0000-4000-8000-000000000000"],
    ),
    "unknown custom field, near match named": (
        {"--attribute": "Age=cf:loyalty_teir"},
        ["cf:loyalty_tier"],
    ),
    "attribute without heading": ({"--attribute": "Age"}, ["COLUMN=HEADING"]),
    "unknown heading": ({"--attribute": "Age=shoe_size"}, ["'shoe_size'"]),
    "date that is none": ({"--as-of": "last week"}, ["--as-of"]),
    "window of nothing": ({"--window-minutes": "0"}, ["--window-minutes"]),
}


@pytest.fixture(scope="module", autouse=True)
def _custom_field(connected: World) -> None:
    connected.box.add_custom_field("loyalty tier")


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_refused_in_one_line_and_nothing_is_uploaded(
    world: World, tables: Path, here: Callable[..., Finished], case: str
) -> None:
    changes, expected = CASES[case]
    options = {**GOOD, "--list-id": world.list_id, "--connection": world.connection, **changes}
    options["--profiles"] = str(tables / options["--profiles"])
    uploads = len(world.box.state.requests("file_import"))

    done = here("run", *[part for item in options.items() for part in item])

    assert done.code == 2, done.err
    assert done.out == ""
    (line,) = [line for line in done.err.splitlines() if line.startswith("segment-export: ")]
    for word in expected:
        assert word in line
    assert "Traceback" not in done.err
    assert len(world.box.state.requests("file_import")) == uploads


def test_refusal_is_one_json_document_when_asked(world: World, tables: Path) -> None:
    done = world.export(
        "--profiles", tables / "profiles.parquet", "--segments-column", "Segments",
        "--segment", "Platinum", "--email", "EMail",
    )  # fmt: skip
    assert done.code == 2
    assert done.document["status"] == "failed"
    assert done.document["refused"] is True
    assert "Platinum" in done.document["message"]


def test_empty_segment_is_nothing_to_do(world: World, tables: Path) -> None:
    done = world.export(
        "--profiles", tables / "profiles.parquet", "--memberships", tables / "segments",
        "--segment", "Empty", "--email", "EMail",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.document["status"] == "nothing_to_do"
    assert done.document["counts"]["profiles_in_segment"] == 0


@pytest.mark.parametrize(
    ("arguments", "members"),
    [
        (["--segments-column", "Segments"], {"a@example.com", "b@example.com"}),
        (["--memberships", "long.parquet"], {"a@example.com"}),
        (["--memberships", "segments"], {"a@example.com"}),
    ],
    ids=["a list column", "the long form", "a folder with one table a segment"],
)
def test_every_membership_form_reaches_the_list(
    world: World, tables: Path, arguments: list[str], members: set[str]
) -> None:
    option, value = arguments
    done = world.export(
        "--profiles", tables / "profiles.parquet", option,
        value if option == "--segments-column" else tables / value,
        "--segment", "Gold", "--email", "EMail",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert set(world.members()) == members
