"""Runs that a schedule began although it is paused by now: which of them end themselves."""

from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import CreatedBy, DeploymentSchedule, FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule

from tasks.schedule_pause import is_paused_for

OWN, OTHER = uuid4(), uuid4()


def export(*schedules: tuple[UUID, bool], paused: bool = False) -> DeploymentResponse:
    return DeploymentResponse(
        flow_id=uuid4(),
        name="nightly",
        paused=paused,
        schedules=[
            DeploymentSchedule(id=one, active=active, schedule=CronSchedule(cron="0 2 * * *"))
            for one, active in schedules
        ],
    )


def run_of_schedule(began: UUID | None = OWN) -> FlowRun:
    return FlowRun(
        flow_id=uuid4(), created_by=CreatedBy(id=began, type="SCHEDULE") if began else None
    )


@pytest.mark.parametrize(
    ("schedules", "paused", "is_paused"),
    [
        ([(OWN, True)], False, False),
        ([(OWN, False)], False, True),
        ([(OWN, True)], True, True),
        ([(OWN, False), (OTHER, True)], False, True),
        ([(OWN, True), (OTHER, False)], False, False),
        ([(OTHER, True)], False, False),  # it was replaced
        ([(OTHER, False)], False, True),
        ([], False, False),  # it was taken away
        ([], True, True),
    ],
)
def test_run_is_paused_with_what_began_it(
    schedules: Sequence[tuple[UUID, bool]], paused: bool, is_paused: bool
) -> None:
    assert is_paused_for(run_of_schedule(), export(*schedules, paused=paused)) is is_paused


def test_run_of_which_nobody_knows_what_began_it_is_paused_with_all() -> None:
    run = run_of_schedule(began=None)
    assert not is_paused_for(run, export((OWN, False), (OTHER, True)))
    assert is_paused_for(run, export((OWN, False), (OTHER, False)))
