"""An hour in which nothing moves, by a clock that runs as fast as the test: then it goes on."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

import sandbox
import tasks.connection
from constant_contact import MachinePacer
from flows.export_segment import export_segment
from sandbox import Fault, ManualClock, SandboxSettings
from schemas.export import ExportRequest
from schemas.outcome import ExportOutcome
from tasks.session import Handover, handing_over
from tasks.shared_api import EMBEDDED_API_VARIABLE
from tests.conftest import Commands, PrefectServer, World, connect, using_prefect

HOUR_S = 3600.0


class FastTime:
    """The run's clock and the sandbox's as one, moved on by whoever sleeps."""

    def __init__(self) -> None:
        self.of_sandbox = ManualClock(datetime.now(UTC))

    def clock(self) -> float:
        return self.of_sandbox.utc_s()

    async def sleep(self, seconds: float) -> None:
        self.of_sandbox.advance(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def fast() -> FastTime:
    return FastTime()


@pytest.fixture
def stalled(
    prefect_server: PrefectServer, fast: FastTime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """A sandbox on fast time; the pace is that of real time, and so has to be a very quick one."""
    settings = SandboxSettings(client_id=f"stall-{tmp_path.name}", requests_per_second=10_000)
    monkeypatch.setenv(EMBEDDED_API_VARIABLE, prefect_server.api_url)
    monkeypatch.setattr(
        tasks.connection,
        "machine_pacer",
        lambda digest: MachinePacer(tmp_path / digest, interval_s=0.0001),
    )
    with sandbox.running(settings, clock=fast.of_sandbox) as box:
        commands = Commands(prefect_server.env(), tmp_path)
        name = f"stall-{tmp_path.name}"
        done = connect(commands, box, name, tmp_path)
        assert done.code == 0, done.err
        yield World(box, commands, name, box.add_list("Stalled"))


def export(world: World, fast: FastTime, folder: Path) -> ExportOutcome:
    profiles = folder / "profiles.parquet"
    if not profiles.exists():
        pl.DataFrame(
            {
                "CustomerId": ["a", "b", "c"],
                "EMail": ["a@example.com", "b@example.com", "c@example.com"],
                "Segments": [["Gold"]] * 3,
            }
        ).write_parquet(profiles)
    request = ExportRequest(
        connection=world.connection,
        list_id=world.list_id,
        profiles=str(profiles),
        segments=("Gold",),
        email="EMail",
        report_dir=str(folder / "report"),
    )

    async def run() -> ExportOutcome:
        state = await export_segment(request, return_state=True)
        outcome = await state.aresult(raise_on_failure=False)
        assert isinstance(outcome, ExportOutcome), outcome
        return outcome

    with (
        using_prefect(world.commands.env["PREFECT_API_URL"]),
        handing_over(Handover(clock=fast.clock, sleep=fast.sleep)),
    ):
        return asyncio.run(run())


def test_imports_that_take_longer_than_the_window_end_it_in_order_and_continue(
    stalled: World, fast: FastTime, tmp_path: Path
) -> None:
    stalled.box.script(Fault(operation="file_import", kind="duration", seconds=1.5 * HOUR_S))
    began = fast.clock()
    first = export(stalled, fast, tmp_path)
    assert first.status == "incomplete"
    assert "The 60-minute window has ended" in first.message
    assert "1 still being imported" in first.message
    assert first.batches[0].activity_id
    assert HOUR_S - 31 <= fast.clock() - began <= HOUR_S + 31
    assert first.requests.polls < 150  # one every 30 s at most, of a day's 10,000

    second = export(stalled, fast, tmp_path)
    assert second.status == "completed"
    assert second.batches[0].already_accepted
    assert second.requests.uploads == 0
    assert len(stalled.box.state.requests("file_import")) == 1
    assert len(stalled.box.state.members(stalled.list_id)) == 3


def test_api_that_is_away_while_imports_run_is_waited_for_and_named(
    stalled: World, fast: FastTime, tmp_path: Path
) -> None:
    stalled.box.script(
        Fault(operation="activities", kind="status", occurrence=2, repeat=100_000, status=503)
    )
    first = export(stalled, fast, tmp_path)
    assert first.status == "incomplete"
    assert first.requests.total < 1_000
    assert "for 60 minutes, Constant Contact had a problem of its own" in first.message

    stalled.box.clear_script()
    second = export(stalled, fast, tmp_path)
    assert second.ended_well
    assert second.requests.uploads == 0
    assert len(stalled.box.state.members(stalled.list_id)) == 3
