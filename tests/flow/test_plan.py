"""`plan` tells what `run` would do, and sends nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import tasks.batches
from constant_contact import REQUEST_LIMIT_BYTES, MachinePacer
from sandbox import Fault
from tasks.quota import DailyQuota
from tests.conftest import Finished, World


@pytest.fixture
def profiles(world: World, tmp_path: Path) -> Path:
    path = tmp_path / "profiles.parquet"
    emails = [f"p{n:02}.{world.list_id[:8]}@example.com" for n in range(20)]
    pl.DataFrame(
        {
            "CustomerId": [f"c{n:02}" for n in range(22)],
            "EMail": [*emails, "nothing", emails[0]],
            "Segments": [["Gold"]] * 22,
        }
    ).write_parquet(path)
    return path


@pytest.fixture
def plan(world: World, profiles: Path, here: Callable[..., Finished]) -> Callable[..., Finished]:
    def ask(*more: str | Path) -> Finished:
        return here(
            "plan", "--connection", world.connection, "--list-id", world.list_id,
            "--profiles", profiles, "--segment", "Gold", "--email", "EMail", *more,
        )  # fmt: skip

    return ask


def run(world: World, profiles: Path) -> dict[str, Any]:
    done = world.export("--profiles", profiles, "--segment", "Gold", "--email", "EMail")
    assert done.code == 0, done.err
    return done.document


def cut_small(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    limit = len("email\r\n") + rows * len("p00.01234567@example.com\r\n")
    monkeypatch.setattr(tasks.batches, "framing_bytes", lambda *_: REQUEST_LIMIT_BYTES - 1 - limit)


def test_plan_tells_what_run_then_does(
    world: World, profiles: Path, plan: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_small(monkeypatch, 8)
    before = len(world.box.state.requests("file_import"))
    planned = plan("--json", "--report-dir", profiles.parent / "look")
    assert planned.code == 0, planned.err
    assert len(world.box.state.requests("file_import")) == before
    assert world.members() == {}
    assert pl.read_parquet(planned.document["rejects_path"]).height == 2
    done = run(world, profiles)
    assert planned.document["delivery"] == done["delivery"]
    assert planned.document["list_id"] == done["list_id"]
    assert planned.document["reject_reasons"] == done["reject_reasons"]
    verdicts = ("profiles_in_segment", "sent", "rejected", "duplicates", "amended")
    assert {k: planned.document["counts"][k] for k in verdicts} == {
        k: done["counts"][k] for k in verdicts
    }
    assert [(b["file_name"], b["rows"], b["bytes"]) for b in planned.document["batches"]] == [
        (b["file_name"], b["rows"], b["bytes"]) for b in done["batches"]
    ]
    assert planned.document["requests"]["uploads"] == done["requests"]["uploads"] == 3
    assert planned.document["requests"]["needed"] >= done["requests"]["total"]


def test_plan_of_an_interrupted_delivery_counts_what_is_missing(
    world: World, profiles: Path, plan: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_small(monkeypatch, 8)
    world.box.script(Fault(operation="file_import", kind="outcome", occurrence=2, state="failed"))
    world.export("--profiles", profiles, "--segment", "Gold", "--email", "EMail")
    planned = plan("--json").document
    assert [batch["already_accepted"] for batch in planned["batches"]] == [True, False, True]
    assert planned["requests"]["uploads"] == 1
    assert "8 contacts" in planned["message"]
    assert "(2 more are there)" in planned["message"]
    assert planned["time"]["import_s"] is not None


def test_plan_of_a_complete_delivery_has_nothing_to_send(
    world: World, profiles: Path, plan: Callable[..., Finished]
) -> None:
    run(world, profiles)
    planned = plan()
    assert planned.code == 0
    assert "It would send nothing" in planned.out
    again = plan("--again", "--json").document
    assert again["requests"]["uploads"] == 1


def test_plan_that_cannot_be_done_in_the_window_says_so(
    world: World, profiles: Path, plan: Callable[..., Finished]
) -> None:
    run(world, profiles)
    planned = plan("--again", "--window-minutes", "0.001", "--json")
    assert planned.code == 1, planned.out
    assert "--window-minutes" in planned.document["obstacle"]


def test_plan_of_a_complete_delivery_needs_no_quota(
    world: World, profiles: Path, plan: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(world, profiles)

    async def tell_nobody(_quota: DailyQuota) -> None:
        """Other tests share the API key, whose count is kept."""

    monkeypatch.setattr(DailyQuota, "publish", tell_nobody)
    monkeypatch.setattr(MachinePacer, "used_today", lambda _pacer: 9_999)
    planned = plan("--json")
    assert planned.code == 0, planned.out
    assert not planned.document["obstacle"]
    assert run(world, profiles)["status"] == "nothing_to_do"


def test_export_that_does_not_fit_into_the_quota_is_refused_before_it_starts(
    world: World, profiles: Path, plan: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MachinePacer, "used_today", lambda _pacer: 9_990)
    before = len(world.box.state.requests("file_import"))
    planned = plan("--json")
    assert planned.code == 2
    assert "9,990 of 10,000 requests" in planned.document["obstacle"]
    assert "00:00 UTC" in planned.document["obstacle"]
    done = world.export("--profiles", profiles, "--segment", "Gold", "--email", "EMail")
    assert done.code == 2, done.out
    assert done.document["refused"] is True
    assert "9,990 of 10,000 requests" in done.document["message"]
    assert len(world.box.state.requests("file_import")) == before


def test_plan_of_bad_input_is_refused_in_one_line(plan: Callable[..., Finished]) -> None:
    refused = plan("--first-name", "Firstname")
    assert refused.code == 2
    assert refused.err.strip().splitlines()[-1].startswith("segment-export: ")
    assert "Firstname" in refused.err
    assert "Traceback" not in refused.err
