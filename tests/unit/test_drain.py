"""Draining over a restart of the server, and when to give up."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType

from cli.drain import LOOK_EVERY_S, QUIET_LOOKS, SILENCE_S, wait_until_quiet
from cli.errors import CommandFailed
from deployments.under_way import RunUnderWay, to_run_under_way

HOUR_S = 3600.0


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def looking(
    *answers: list[RunUnderWay] | None,
) -> tuple[Callable[[], list[RunUnderWay]], list[int]]:
    """Answer one look after the other, the last for ever; None is a server that is gone."""
    looks: list[int] = []

    def look() -> list[RunUnderWay]:
        answer = answers[min(len(looks), len(answers) - 1)]
        looks.append(1)
        if answer is None:
            raise httpx.ConnectError("refused")
        return answer

    return look, looks


def test_restart_of_the_server_does_not_end_a_drain(capsys: pytest.CaptureFixture[str]) -> None:
    run = RunUnderWay(uuid4(), "nightly", "Running", 1)
    clock = Clock()
    look, looks = looking([run], None, None, [run], [], None, [])
    wait_until_quiet(look, HOUR_S, clock=clock, sleep=clock.sleep)
    # What was quiet before the silence does not count: a run may have begun in it.
    assert len(looks) == 6 + QUIET_LOOKS
    assert capsys.readouterr().err.count("does not answer") == 2


def test_server_that_stays_away_ends_a_drain_saying_so() -> None:
    clock = Clock()
    look, _ = looking([], None)
    with pytest.raises(CommandFailed, match=r"does not answer.*for 5 minutes.*stays paused"):
        wait_until_quiet(look, HOUR_S, clock=clock, sleep=clock.sleep)
    assert SILENCE_S <= clock.now_s <= SILENCE_S + 2 * LOOK_EVERY_S


def test_runs_that_do_not_end_in_time_end_a_drain_naming_them() -> None:
    clock = Clock()
    look, _ = looking([RunUnderWay(uuid4(), "nightly", "Running", 1)])
    with pytest.raises(CommandFailed, match=r"nightly \(Running, 1 min\) after 60 minutes"):
        wait_until_quiet(look, HOUR_S, clock=clock, sleep=clock.sleep)


def test_run_that_was_taken_and_never_began_is_told_with_its_age() -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    taken = State(type=StateType.PENDING, name="Submitting", timestamp=now - timedelta(minutes=9))
    begun = State(type=StateType.RUNNING, timestamp=now)
    waiting = FlowRun(flow_id=uuid4(), name="nightly", state=taken, state_name="Submitting")
    started = now - timedelta(minutes=70)
    running = FlowRun(flow_id=uuid4(), name="noon", state=begun, start_time=started)
    assert [to_run_under_way(run, now).minutes for run in (waiting, running)] == [9, 70]
