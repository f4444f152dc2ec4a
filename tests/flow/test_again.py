"""`--again` delivers once more what is complete, and an interrupted one is continued."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import tasks.batches
from constant_contact import REQUEST_LIMIT_BYTES
from sandbox import Fault
from tests.conftest import Finished, World

BATCHES = 3


@pytest.fixture
def export(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Finished]:
    profiles = tmp_path / "profiles.parquet"
    pl.DataFrame(
        {
            "CustomerId": [f"c{n}" for n in range(2 * BATCHES)],
            "EMail": [f"p{n}.{world.list_id[:8]}@example.com" for n in range(2 * BATCHES)],
            "Segments": [["Gold"]] * 2 * BATCHES,
        }
    ).write_parquet(profiles)
    limit = len("email\r\n") + 2 * len("p0.01234567@example.com\r\n")
    framing = REQUEST_LIMIT_BYTES - 1 - limit
    monkeypatch.setattr(tasks.batches, "framing_bytes", lambda *_: framing)

    def run(*more: str) -> Finished:
        return world.export("--profiles", profiles, "--segment", "Gold", "--email", "EMail", *more)

    return run


def uploads(world: World) -> int:
    return len(world.box.state.requests("file_import"))


def imported(world: World) -> list[str]:
    return [activity["source_file_name"] for activity in world.box.state.activities()]


def names(done: Finished) -> list[str]:
    return [batch["file_name"] for batch in done.document["batches"]]


def test_again_sends_a_complete_delivery_once_more_under_names_of_its_own(
    world: World, export: Callable[..., Finished]
) -> None:
    first = export()
    assert first.code == 0, first.err
    before = uploads(world)
    again = export("--again")
    assert again.document["status"] == "completed", again.document["message"]
    assert again.document["delivery"] == first.document["delivery"]
    assert uploads(world) == before + BATCHES
    assert not {*names(first)} & {*names(again)}
    assert export().document["status"] == "nothing_to_do"
    assert uploads(world) == before + BATCHES
    assert not {*names(again)} & {*names(export("--again"))}


@pytest.mark.parametrize("option", [[], ["--again"]])
def test_interrupted_again_is_continued(
    world: World, export: Callable[..., Finished], option: list[str]
) -> None:
    assert export().code == 0
    before = uploads(world)
    world.box.script(Fault(operation="file_import", kind="outcome", occurrence=2, state="failed"))
    lost = export("--again")
    assert lost.code == 1
    assert uploads(world) == before + BATCHES
    done = export(*option)
    assert done.document["status"] == "completed", done.document["message"]
    assert uploads(world) == before + BATCHES + 1
    assert names(done) == names(lost)


@pytest.mark.parametrize("option", [[], ["--again"]])
def test_again_whose_imports_are_still_under_way_waits_for_them(
    world: World, export: Callable[..., Finished], option: list[str]
) -> None:
    assert export().code == 0
    before = uploads(world)
    world.box.script(Fault(operation="file_import", kind="duration", occurrence=2, seconds=20))
    slow = export("--again", "--window-minutes", "0.15")
    assert slow.code == 1
    assert "1 still being imported" in slow.document["message"]
    assert "continue, without --again" in slow.document["message"]
    done = export(*option)
    assert done.code == 0, done.document["message"]
    assert uploads(world) == before + BATCHES
    assert names(done) == names(slow)


def test_again_that_ended_before_anything_was_accepted_is_asked_for_once_more(
    world: World, export: Callable[..., Finished]
) -> None:
    assert export().code == 0
    before = imported(world)
    quota = '{"error_key":"quota_exceeded","error_message":"Limit Exceeded"}'
    world.box.script(Fault("file_import", "status", status=429, body=quota, repeat=BATCHES))
    cut_off = export("--again")
    assert cut_off.code == 1
    assert "continue, with --again" in cut_off.document["message"]
    world.box.clear_script()
    assert export("--again").document["status"] == "completed"
    assert len(imported(world)) == len(before) + BATCHES


def test_again_that_was_cut_off_and_has_arrived_is_not_sent_a_third_time(
    world: World, export: Callable[..., Finished]
) -> None:
    assert export().code == 0
    before = uploads(world)
    world.box.script(Fault("file_import", "delay", when="after", seconds=60, repeat=BATCHES))
    cut_off = export("--again", "--window-minutes", "0.1")
    assert cut_off.code == 1
    assert f"{BATCHES} sent without an answer" in cut_off.document["message"]
    assert uploads(world) == before + BATCHES
    world.box.clear_script()
    went_on = export("--again")
    assert went_on.document["status"] == "nothing_to_do", went_on.document["message"]
    assert "was cut off, and all of it has arrived" in " ".join(went_on.document["notes"])
    assert uploads(world) == before + BATCHES
    assert export("--again").document["status"] == "completed"
    assert uploads(world) == before + 2 * BATCHES


def test_again_of_which_every_import_failed_is_sent_once_more(
    world: World, export: Callable[..., Finished]
) -> None:
    assert export().code == 0
    before = uploads(world)
    failing = Fault(operation="file_import", kind="outcome", state="failed", repeat=BATCHES)
    world.box.script(failing)
    lost = export("--again")
    assert lost.code == 1
    assert "Run the export again to send them once more" in lost.document["message"]
    done = export()
    assert done.document["status"] == "completed", done.document["message"]
    assert uploads(world) == before + 2 * BATCHES
    assert names(done) == names(lost)


def test_again_of_a_delivery_that_is_not_complete_completes_it(
    world: World, export: Callable[..., Finished]
) -> None:
    world.box.script(Fault(operation="file_import", kind="outcome", occurrence=2, state="failed"))
    lost = export()
    assert lost.code == 1
    before = uploads(world)
    done = export("--again")
    assert done.document["status"] == "completed"
    assert uploads(world) == before + 1
    assert names(done) == names(lost)
