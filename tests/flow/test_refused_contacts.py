"""Contacts that Constant Contact refuses hold back nobody else, and are named in the reports."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import sandbox
import tasks.narrowing
from sandbox import Fault, SandboxSettings
from tasks.narrowing import OUT_OF_REQUESTS_NOTE
from tests.conftest import FLAGGED, Commands, Finished, PrefectServer, World, connect

BAD = "bad.row@example.com"
ALSO_BAD = "bad.too@example.com"


@pytest.fixture(scope="module")
def connected(
    prefect_server: PrefectServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("refusing")
    commands = Commands(prefect_server.env(), folder)
    settings = SandboxSettings(
        client_id="refusing-key",
        abused_addresses=frozenset({FLAGGED}),
        refused_addresses=frozenset({BAD, ALSO_BAD}),
    )
    with sandbox.running(settings) as box:
        done = connect(commands, box, f"box-{folder.name}", folder)
        assert done.code == 0, done.err
        yield World(box, commands, f"box-{folder.name}", "")


def write_profiles(folder: Path, emails: list[str]) -> Path:
    path = folder / "profiles.parquet"
    pl.DataFrame(
        {
            "CustomerId": [f"c{n:03}" for n in range(len(emails))],
            "EMail": emails,
            # Too long a name is left out: the refused contact was to go amended.
            "FirstName": ["x" * 60 if email == BAD else "Ann" for email in emails],
            "City": [None if n % 3 else "Riga" for n in range(len(emails))],
            "Segments": [["Gold"]] * len(emails),
        }
    ).write_parquet(path)
    return path


def export(world: World, folder: Path, *more: str) -> Finished:
    return world.export(
        "--profiles", folder / "profiles.parquet", "--segment", "Gold", "--email", "EMail",
        "--first-name", "FirstName", "--attribute", "City=city",
        "--report-dir", folder / "report", *more,
    )  # fmt: skip


def emails(world: World, count: int) -> list[str]:
    return [f"p{n:03}.{world.list_id[:8]}@example.com" for n in range(count)]


def rejects(done: Finished) -> list[dict[str, Any]]:
    return pl.read_parquet(done.document["rejects_path"]).to_dicts()


def accepted_names(world: World, done: Finished) -> list[str]:
    named = {batch["file_name"] for batch in done.document["batches"]}
    return sorted(
        a["source_file_name"]
        for a in world.box.state.activities()
        if a["source_file_name"] in named
    )


def test_contact_at_fault_is_rejected_and_all_others_arrive(world: World, tmp_path: Path) -> None:
    good = emails(world, 60)
    write_profiles(tmp_path, [*good[:37], BAD, *good[37:]])
    done = export(world, tmp_path)
    assert done.code == 0, done.err
    assert done.document["status"] == "completed_with_rejects"
    counts = done.document["counts"]
    assert (counts["profiles_in_segment"], counts["sent"], counts["rejected"]) == (61, 60, 1)
    assert counts["imported"] == 60
    assert counts["amended"] == 0
    assert done.document["reject_reasons"] == {"refused_by_api": 1}
    assert done.document["amend_reasons"] == {}
    assert set(world.members()) == set(good)
    assert rejects(done) == [
        {
            "customer_id": "c037", "verdict": "rejected", "reason": "refused_by_api",
            "reasons": ["refused_by_api"], "field": "EMail", "value": BAD,
        }
    ]  # fmt: skip
    assert pl.read_parquet(done.document["amended_path"]).is_empty()
    batches = done.document["batches"]
    assert sum(batch["rows"] for batch in batches) == 60
    assert {batch["state"] for batch in batches} == {"completed"}
    assert accepted_names(world, done) == sorted(batch["file_name"] for batch in batches)
    assert BAD not in done.out + done.err


def test_running_again_finds_the_parts_and_sends_no_contact_twice(
    world: World, tmp_path: Path
) -> None:
    good = emails(world, 20)
    write_profiles(tmp_path, [BAD, *good, ALSO_BAD])
    first = export(world, tmp_path)
    assert first.code == 0, first.err
    accepted = len(world.box.state.activities())
    second = export(world, tmp_path)
    assert second.document["status"] == "nothing_to_do", second.document["message"]
    assert second.document["counts"] == first.document["counts"]
    assert len(rejects(second)) == 2
    assert len(world.box.state.activities()) == accepted


def test_refusal_that_was_a_passing_fault_loses_and_repeats_nobody(
    world: World, tmp_path: Path
) -> None:
    good = emails(world, 9)
    write_profiles(tmp_path, good)
    world.box.script(Fault(operation="file_import", kind="status", status=400))
    done = export(world, tmp_path)
    assert done.code == 0, done.err
    assert [batch["rows"] for batch in done.document["batches"]] == [4, 5]
    accepted = len(world.box.state.activities())
    world.box.clear_script()
    again = export(world, tmp_path)  # the whole batch would be taken now
    assert again.document["status"] == "nothing_to_do"
    assert len(world.box.state.activities()) == accepted
    assert len(world.members()) == 9


def test_everything_refused_fails_the_run_and_rejects_nobody(world: World, tmp_path: Path) -> None:
    write_profiles(tmp_path, emails(world, 40))
    world.box.script(Fault(operation="file_import", kind="status", status=400, repeat=999))
    done = export(world, tmp_path)
    assert done.code == 1
    assert done.document["status"] == "failed"
    assert done.document["counts"]["rejected"] == 0
    assert [batch["state"] for batch in done.document["batches"]] == ["refused"]
    assert "refused 1 batch of 1 (40 contacts)" in done.document["message"]
    assert done.document["requests"]["uploads"] < 60  # and does not try every contact


def test_search_for_contacts_at_fault_is_bounded(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.narrowing, "OWN_PART_REQUESTS", 1)
    monkeypatch.setattr(tasks.narrowing, "MOST_PART_REQUESTS", 3)
    good = emails(world, 30)
    write_profiles(tmp_path, [*good[:29], BAD, good[29]])
    done = export(world, tmp_path)
    assert done.code == 1
    assert done.document["status"] == "failed"
    assert done.document["requests"]["uploads"] == 5
    states = [batch["state"] for batch in done.document["batches"]]
    assert states.count("refused") == 1
    assert sum(batch["rows"] for batch in done.document["batches"]) == 31
    assert OUT_OF_REQUESTS_NOTE in done.document["notes"]
    monkeypatch.undo()
    finished = export(world, tmp_path)
    assert finished.code == 0, finished.err
    assert set(world.members()) == set(good)


def test_lines_that_an_activity_names_are_brought_home_to_profiles(
    world: World, tmp_path: Path
) -> None:
    good = emails(world, 5)
    write_profiles(tmp_path, [good[0], FLAGGED, *good[1:]])
    done = export(world, tmp_path)
    assert done.code == 0, done.err
    assert done.document["counts"]["api_correctable"] == 1
    path = done.document["not_imported_path"]
    assert pl.read_parquet(path).to_dicts() == [
        {
            "customer_id": "c001", "reason": "refused_by_api",
            "file_name": done.document["batches"][0]["file_name"], "line": 3,
        }
    ]  # fmt: skip
    assert Path(path).stat().st_mode & 0o077 == 0
    write_profiles(tmp_path, good)
    other = export(world, tmp_path)
    assert other.document["not_imported_path"] is None
    assert not Path(path).exists()


def test_again_repeats_a_delivery_of_which_contacts_were_refused(
    world: World, tmp_path: Path
) -> None:
    good = emails(world, 8)
    write_profiles(tmp_path, [*good[:4], BAD, ALSO_BAD, *good[4:]])
    assert export(world, tmp_path).code == 0
    accepted = len(world.box.state.activities())
    again = export(world, tmp_path, "--again")
    assert again.document["status"] == "completed_with_rejects", again.document["message"]
    assert len(world.box.state.activities()) > accepted
    assert again.document["counts"]["sent"] == 8
    assert len(rejects(again)) == 2
    assert export(world, tmp_path).document["status"] == "nothing_to_do"
