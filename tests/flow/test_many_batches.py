"""Deliveries of several batches: what goes wrong with one of them leaves the others in order."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

import sandbox
import tasks.batches
import tasks.progress
from constant_contact import REQUEST_LIMIT_BYTES
from pipeline import Prepared, SourceChanged
from sandbox import Fault, SandboxSettings
from tests.conftest import Commands, Finished, World, connect

ROWS = 12
BATCH_ROWS = 3


@pytest.fixture
def profiles(world: World, tmp_path: Path) -> Path:
    return write_profiles(tmp_path, world.list_id)


def write_profiles(folder: Path, list_id: str) -> Path:
    path = folder / "profiles.parquet"
    pl.DataFrame(
        {
            "CustomerId": [f"c{n:02}" for n in range(ROWS)],
            "EMail": [f"p{n:02}.{list_id[:8]}@example.com" for n in range(ROWS)],
            "Segments": [["Gold"]] * ROWS,
        }
    ).write_parquet(path)
    return path


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut twelve contacts into four batches, as 120,000 would be."""
    row_bytes = len("p00.01234567@example.com\r\n")
    limit = len("email\r\n") + BATCH_ROWS * row_bytes
    framing = REQUEST_LIMIT_BYTES - 1 - limit
    monkeypatch.setattr(tasks.batches, "framing_bytes", lambda *_: framing)


def export(world: World, profiles: Path, *more: str, **options: str) -> Finished:
    return world.export(
        "--profiles", profiles, "--segments-column", "Segments", "--segment", "Gold",
        "--email", "EMail", "--report-dir", profiles.parent / "report", *more, **options,
    )  # fmt: skip


def uploads(world: World) -> int:
    return len(world.box.state.requests("file_import"))


def names_accepted(world: World, done: Finished) -> list[str]:
    named = {batch["file_name"] for batch in done.document["batches"]}
    activities = world.box.state.activities()
    return sorted(a["source_file_name"] for a in activities if a["source_file_name"] in named)


def test_delivery_is_cut_into_as_few_batches_as_the_limits_allow(
    world: World, profiles: Path
) -> None:
    done = export(world, profiles)
    assert done.code == 0, done.err
    assert [batch["rows"] for batch in done.document["batches"]] == [BATCH_ROWS] * 4
    assert len(world.members()) == ROWS
    assert len(names_accepted(world, done)) == 4


def test_running_again_sends_only_the_batch_that_was_lost(world: World, profiles: Path) -> None:
    world.box.script(Fault(operation="file_import", kind="outcome", occurrence=2, state="failed"))
    first = export(world, profiles)
    assert first.code == 1
    assert [b["state"] for b in first.document["batches"]].count("completed") == 3
    assert len(world.members()) == ROWS - BATCH_ROWS
    before = uploads(world)
    second = export(world, profiles)
    assert second.code == 0, second.err
    assert second.document["status"] == "completed"
    assert [b["already_accepted"] for b in second.document["batches"]].count(False) == 1
    assert uploads(world) == before + 1
    assert len(world.members()) == ROWS


def test_refused_batch_does_not_hold_back_the_others(world: World, profiles: Path) -> None:
    world.box.script(Fault(operation="file_import", kind="status", occurrence=2, status=415))
    done = export(world, profiles)
    assert done.code == 1
    assert [b["state"] for b in done.document["batches"]].count("refused") == 1
    assert "Constant Contact refused 1 batch of 4 (3 contacts)" in done.document["message"]
    assert len(world.members()) == ROWS - BATCH_ROWS


def test_access_denied_under_way_is_no_refusal_as_contacts_have_arrived(
    world: World, profiles: Path
) -> None:
    world.box.script(
        Fault(
            operation="file_import", kind="status", status=403, occurrence=3,
            body='{"error_key":"access_denied","error_message":"x"}', repeat=9,
        )
    )  # fmt: skip
    done = export(world, profiles)
    assert done.code == 1
    assert done.document["refused"] is False
    assert done.document["status"] == "incomplete"
    assert "2 batches imported" in done.document["message"]
    assert len(world.members()) == 2 * BATCH_ROWS


def test_source_that_changes_under_way_fails_after_what_was_sent_is_in(
    world: World, profiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Prepared.iter_batches

    def changing(prepared: Prepared, limit: int) -> Any:
        batches = whole(prepared, limit)
        yield next(batches)
        raise SourceChanged("The file was rewritten during the export.")

    monkeypatch.setattr(Prepared, "iter_batches", changing)
    done = export(world, profiles)
    assert done.code == 1
    assert done.document["refused"] is False
    assert "was rewritten" in done.document["message"]
    assert len(world.members()) == BATCH_ROWS


def test_quota_stops_the_run_and_says_when_it_returns(world: World, profiles: Path) -> None:
    world.box.script(
        Fault(
            operation="file_import", kind="status", status=429, occurrence=3, repeat=99,
            body='{"error_key":"quota_exceeded","error_message":"Limit Exceeded"}',
        )
    )  # fmt: skip
    done = export(world, profiles)
    assert done.code == 1
    assert done.document["status"] == "incomplete"
    assert "00:00 UTC" in done.document["message"]
    states = [batch["state"] for batch in done.document["batches"]]
    assert states.count("not_sent") == 2
    assert len(states) == 4

    world.box.clear_script()
    again = export(world, profiles)
    assert again.code == 0, again.err
    assert len(world.members()) == ROWS
    assert len(names_accepted(world, again)) == 4


def test_defect_while_batches_are_made_ends_in_good_order(
    world: World, profiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Prepared.iter_batches

    def failing(prepared: Prepared, limit: int) -> Any:
        batches = whole(prepared, limit)
        yield next(batches)
        raise RuntimeError("p00@example.com broke it")

    monkeypatch.setattr(Prepared, "iter_batches", failing)
    done = export(world, profiles)
    assert done.code == 1
    assert "unexpected RuntimeError" in done.document["message"]
    assert "broke it" not in done.out + done.err
    assert done.document["batches"][0]["activity_id"]
    assert Path(done.document["report_path"]).read_text().count("| completed") == 1


def test_report_that_cannot_be_written_does_not_undo_a_delivery(
    world: World, profiles: Path
) -> None:
    (profiles.parent / "report").mkdir(mode=0o700)
    (profiles.parent / "report" / "report.md").mkdir()
    done = export(world, profiles)
    assert done.code == 0, done.err
    assert done.document["counts"]["imported"] == ROWS
    assert done.document["report_path"] is None
    assert "report could not be written" in done.document["notes"][0]


@pytest.mark.parametrize("broken", ["acreate_progress_artifact", "aupdate_progress_artifact"])
def test_progress_that_cannot_be_shown_does_not_fail_a_delivery(
    world: World, profiles: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    async def fail(*_arguments: object, **_options: object) -> None:
        raise httpx.ConnectError("All connection attempts failed")

    monkeypatch.setattr(tasks.progress, broken, fail)
    done = export(world, profiles)
    assert done.code == 0, done.err


def test_list_with_brackets_in_its_name_is_told_as_it_is(
    world: World, profiles: Path, here: Callable[..., Finished]
) -> None:
    done = here(
        "run", "--connection", world.connection, "--list-id",
        world.box.add_list(f"[/b] customers {world.list_id}"), "--profiles", profiles,
        "--segments-column", "Segments", "--segment", "Gold", "--email", "EMail",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "“[/b] customers" in done.out


def test_account_that_echoes_no_file_names_is_told_and_served_again(
    connected: World, here: Callable[..., Finished], tmp_path: Path
) -> None:
    with sandbox.running(SandboxSettings(echo_file_name=False)) as box:
        done = connect(Commands(connected.commands.env, tmp_path), box, tmp_path.name, tmp_path)
        assert done.code == 0, done.err
        list_id = box.add_list("Gold")
        world = World(box, connected.commands, tmp_path.name, list_id, here)
        profiles = write_profiles(tmp_path, list_id)
        first = export(world, profiles)
        again = export(world, profiles)
        assert (first.code, again.code) == (0, 0), first.err + again.err
        assert "does not echo file names" in first.document["notes"][0]
        assert again.document["status"] == "completed"
        assert uploads(world) == 8
        assert len(world.members()) == ROWS


def test_error_messages_that_the_counters_do_not_tell_of_are_no_success(
    world: World, profiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tasks.batches.update_batch

    def with_messages(batch: Any, activity: Any) -> Any:
        return real(batch, activity).model_copy(update={"activity_errors": 2})

    monkeypatch.setattr("tasks.imports.update_batch", with_messages)
    done = export(world, profiles)
    assert done.code == 0, done.err
    assert done.document["status"] == "completed_with_rejects"
    assert "more error messages than its counters" in done.document["notes"][0]


@pytest.mark.parametrize("counts_in_collection", [True, False])
def test_contacts_cut_off_without_a_word_fail_the_run_and_are_sent_anew(
    connected: World, here: Callable[..., Finished], tmp_path: Path, counts_in_collection: bool
) -> None:
    with sandbox.running(SandboxSettings(body_limit_bytes=400)) as box:
        done = connect(Commands(connected.commands.env, tmp_path), box, tmp_path.name, tmp_path)
        assert done.code == 0, done.err
        if not counts_in_collection:
            box.script(Fault("activities", "missing", fields=("status",), repeat=1_000))
        list_id = box.add_list("Gold")
        world = World(box, connected.commands, tmp_path.name, list_id, here)
        profiles = write_profiles(tmp_path, list_id)
        first = export(world, profiles)
        assert first.code == 1
        assert first.document["status"] == "failed"
        assert "does not account for" in first.document["message"]
        assert len(world.members()) == first.document["counts"]["imported"] < ROWS
        before = uploads(world)
        again = export(world, profiles)
        assert again.code == 1
        assert uploads(world) == before + 4


def test_export_of_another_name_continues_under_the_first(world: World, profiles: Path) -> None:
    world.box.script(Fault(operation="file_import", kind="outcome", occurrence=2, state="failed"))
    first = export(world, profiles, "--name", "Spring")
    assert first.code == 1
    before = uploads(world)
    second = export(world, profiles, "--name", "Spring sale for everybody")
    assert second.code == 0, second.err
    assert uploads(world) == before + 1
    assert {b["file_name"].split(".")[0] for b in second.document["batches"]} == {"spring"}
    assert second.document["notes"] == []
