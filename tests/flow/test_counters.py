"""What Constant Contact counts is visible in the JSON document, the report and the exit code."""

from collections.abc import Callable, Iterable
from pathlib import Path

import polars as pl
import pytest

from sandbox import Fault
from tests.conftest import FLAGGED, Finished, World


@pytest.fixture
def profiles(world: World, tmp_path: Path) -> Path:
    return write_profiles(tmp_path, [person(world, number) for number in range(10)])


def person(world: World, number: int) -> str:
    """An address that no other test of this sandbox knows."""
    return f"person{number}.{world.list_id[:8]}@example.com"


def write_profiles(folder: Path, addresses: list[str]) -> Path:
    path = folder / "profiles.parquet"
    pl.DataFrame(
        {
            "CustomerId": [f"c{n}" for n in range(len(addresses))],
            "EMail": addresses,
            "Segments": [["Gold"]] * len(addresses),
        }
    ).write_parquet(path)
    return path


def export(world: World, profiles: Path, *more: str) -> Finished:
    return world.export(
        "--profiles", profiles, "--segments-column", "Segments", "--segment", "Gold",
        "--email", "EMail", "--report-dir", profiles.parent / "report", *more,
    )  # fmt: skip


def report_of(done: Finished) -> str:
    return Path(done.document["report_path"]).read_text()


def test_unsubscribed_contacts_are_counted_and_reported(world: World, profiles: Path) -> None:
    world.box.add_contact(person(world, 3))
    world.box.unsubscribe(person(world, 3))
    done = export(world, profiles)
    assert done.code == 0, done.err
    outcome = done.document
    assert outcome["status"] == "completed_with_rejects"
    assert outcome["counts"]["cannot_add_to_list"] == 1
    assert outcome["counts"]["imported"] == 9
    assert "1 unsubscribed contact not added to the list" in outcome["message"]
    assert "not added to the list (unsubscribed) | 1" in report_of(done)
    named = pl.read_parquet(outcome["not_imported_path"])
    assert named["reason"].to_list() == ["not_added_to_list"]
    assert len(world.members()) == 9


def test_correctable_and_other_errors_are_counted_and_reported(
    world: World, tmp_path: Path
) -> None:
    everybody = [person(world, number) for number in range(9)]
    profiles = write_profiles(tmp_path, [*everybody, FLAGGED])
    lists = [world.box.add_list(f"Full {n} {world.list_id}") for n in range(50)]
    world.box.add_contact(everybody[5], list_ids=lists)  # as many as a contact may be in
    done = export(world, profiles)
    assert done.code == 0, done.err
    outcome = done.document
    assert outcome["status"] == "completed_with_rejects"
    assert outcome["counts"]["api_errors"] == 1
    assert outcome["counts"]["api_correctable"] == 1
    assert outcome["counts"]["imported"] == 8
    assert "2 contacts refused by Constant Contact" in outcome["message"]
    assert "| errors | 1 |" in report_of(done)
    assert "| correctable errors | 1 |" in report_of(done)


@pytest.mark.parametrize("state", ["failed", "cancelled", "timed_out"])
def test_lost_activity_fails_the_run_and_running_again_sends_it_once_more(
    world: World, profiles: Path, state: str
) -> None:
    world.box.script(Fault(operation="file_import", kind="outcome", state=state))
    done = export(world, profiles)
    assert done.code == 1
    outcome = done.document
    assert outcome["status"] == "failed"
    assert [batch["state"] for batch in outcome["batches"]] == [state]
    assert outcome["counts"]["imported"] == 0
    assert f"1 batch of 1 did not arrive ({state}; 10 contacts)" in outcome["message"]
    assert state in report_of(done)
    assert not world.members()

    again = export(world, profiles)
    assert again.code == 0, again.err
    assert again.document["status"] == "completed"
    assert len(world.members()) == 10


def test_batch_whose_answer_was_lost_is_found_again_and_not_sent_twice(
    world: World, profiles: Path
) -> None:
    world.box.script(Fault(operation="file_import", kind="drop", when="after"))
    done = export(world, profiles)
    assert done.code == 0, done.err
    assert done.document["status"] == "completed"
    named = [
        activity["source_file_name"]
        for activity in world.box.state.activities()
        if activity["source_file_name"] == done.document["batches"][0]["file_name"]
    ]
    assert len(named) == 1


def test_end_of_the_window_is_orderly_and_running_again_continues(
    world: World, profiles: Path
) -> None:
    world.box.script(Fault(operation="file_import", kind="duration", seconds=12))
    done = export(world, profiles, "--window-minutes", "0.1")
    assert done.code == 1
    outcome = done.document
    assert outcome["status"] == "incomplete"
    assert outcome["batches"][0]["activity_id"]
    assert "window" in outcome["message"]
    assert "Run the same export again to continue" in outcome["message"]

    again = export(world, profiles)
    assert again.code == 0, again.err
    assert again.document["batches"][0]["already_accepted"] is True
    assert again.document["batches"][0]["activity_id"] == outcome["batches"][0]["activity_id"]
    assert len(world.members()) == 10


def test_window_that_is_over_when_the_contacts_are_prepared_ends_the_run_and_says_what_to_do(
    world: World, profiles: Path
) -> None:
    before = len(world.box.state.requests("file_import"))
    done = export(world, profiles, "--window-minutes", "0.001")
    assert done.code == 1
    outcome = done.document
    assert (outcome["status"], outcome["batches"]) == ("incomplete", [])
    assert outcome["counts"]["sent"] == 10
    assert "0.001-minute window was over when the contacts had been prepared" in outcome["message"]
    assert "--window-minutes" in outcome["message"]
    assert "to continue" not in outcome["message"]
    assert len(world.box.state.requests("file_import")) == before


def test_addresses_that_get_no_mail_are_counted_in_a_note_and_sent(
    world: World, tmp_path: Path, here: Callable[..., Finished]
) -> None:
    host = f"{world.list_id[:8]}.example.com"
    profiles = write_profiles(tmp_path, [f"{who}@{host}" for who in ("ann", "sales", "root")])
    planned = here(
        "plan", "--connection", world.connection, "--list-id", world.list_id, "--profiles",
        profiles, "--segment", "Gold", "--email", "EMail", "--json",
    )  # fmt: skip
    done = export(world, profiles)
    assert done.document["status"] == "completed"
    assert len(world.members()) == 3
    for document in (planned.document, done.document):
        (note,) = document["notes"]
        assert note.endswith("sends no mail though they count as contacts: 2.")
        assert host not in note
    again = export(world, profiles).document
    assert (again["status"], again["notes"]) == ("nothing_to_do", done.document["notes"])


def test_counters_that_are_never_given_are_told_as_a_note(world: World, profiles: Path) -> None:
    world.box.script(
        Fault(operation="activities", kind="missing", fields=("status",), repeat=50),
        Fault(operation="activity", kind="missing", fields=("status",), repeat=50),
    )
    done = export(world, profiles)
    assert done.code == 0, done.err
    assert done.document["status"] == "completed"
    assert "could not be compared" in done.document["notes"][0]


def test_answer_that_leaves_out_the_state_as_well_undoes_no_import(
    world: World, profiles: Path
) -> None:
    world.box.script(
        Fault(operation="activities", kind="missing", fields=("status",), repeat=50),
        Fault(
            operation="activity",
            kind="missing",
            fields=("state", "status", "percent_done", "completed_at"),
            repeat=50,
        ),
    )
    done = export(world, profiles)
    assert done.code == 0, done.err
    assert done.document["status"] == "completed"
    assert "could not be compared" in done.document["notes"][0]
    assert export(world, profiles).document["status"] == "nothing_to_do"


def test_counters_that_the_collection_leaves_out_are_asked_for(
    world: World, profiles: Path
) -> None:
    world.box.script(Fault(operation="activities", kind="missing", fields=("status",), repeat=50))
    done = export(world, profiles)
    assert done.code == 0, done.err
    assert done.document["batches"][0]["person_count"] == 10
    assert done.document["notes"] == []


def test_activity_that_nobody_knows_any_more_is_named(
    world: World, profiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def find_it_gone(
        _client: object, activity_ids: Iterable[str], *, on_gone: Callable[[str], None], **_: object
    ) -> None:
        for activity_id in activity_ids:
            on_gone(activity_id)

    monkeypatch.setattr("tasks.imports.wait_for_activities", find_it_gone)
    done = export(world, profiles)
    assert done.code == 1
    assert done.document["status"] == "incomplete"
    activity_id = done.document["batches"][0]["activity_id"]
    assert f"does not know activity {activity_id}" in done.document["message"]
