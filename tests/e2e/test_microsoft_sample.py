"""The real sample, delivered and compared with a computation that uses none of our code."""

from pathlib import Path

import duckdb
import pytest

from tests.conftest import World

# DuckDB's own words for: who is in the segments, under which address, by which names.
EXPECTED = """
    select lower(trim(p."EMail")) as email,
           trim(p."FirstName") as first_name,
           trim(p."LastName") as last_name
    from read_parquet(?) p
    where p."CustomerId" in (
        select m."CustomerId"
        from read_parquet(?) m
        where len(list_intersect(from_json(m."Segments", '["VARCHAR"]'), ?)) > 0
    )
"""


@pytest.mark.parametrize(
    ("segments", "expected_profiles"),
    [(["Loyalty_High"], 443), (["Loyalty_High", "High_Income"], None)],
    ids=["one segment", "a union"],
)
def test_list_holds_exactly_the_members_of_the_segments(
    world: World, sample: Path, segments: list[str], expected_profiles: int | None
) -> None:
    profiles = sample / "microsoft_sample_profiles.parquet"
    memberships = sample / "microsoft_sample_memberships.parquet"
    rows = duckdb.execute(EXPECTED, [str(profiles), str(memberships), segments]).fetchall()
    expected = {email: (first, last) for email, first, last in rows}
    assert len(expected) == len(rows)
    assert expected_profiles in {None, len(rows)}

    done = world.export(
        "--profiles", profiles,
        "--memberships", memberships,
        *[option for segment in segments for option in ("--segment", segment)],
        "--email", "EMail",
        "--first-name", "FirstName",
        "--last-name", "LastName",
    )  # fmt: skip

    assert done.code == 0, done.err
    outcome = done.document
    assert outcome["status"] == "completed"
    assert outcome["counts"]["profiles_in_segment"] == outcome["counts"]["sent"] == len(rows)
    assert outcome["counts"]["imported"] == len(rows)
    arrived = {
        email: (contact.get("first_name"), contact.get("last_name"))
        for email, contact in world.members().items()
    }
    assert arrived == expected


def test_second_run_has_nothing_to_do_and_uploads_nothing(world: World, sample: Path) -> None:
    arguments = (
        "--profiles", sample / "microsoft_sample_profiles.parquet",
        "--memberships", sample / "microsoft_sample_memberships.parquet",
        "--segment", "Loyalty_High",
        "--email", "EMail",
    )  # fmt: skip
    first = world.export(*arguments)
    uploads = len(world.box.state.requests("file_import"))
    second = world.export(*arguments)
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert second.document["status"] == "nothing_to_do"
    assert second.document["counts"]["sent"] == 443
    assert all(batch["already_accepted"] for batch in second.document["batches"])
    assert len(world.box.state.requests("file_import")) == uploads

    again = world.export(*arguments, "--again")
    assert again.document["status"] == "completed"
    assert len(world.box.state.requests("file_import")) == uploads + 1
