"""What a command makes of the end of its flow run."""

import asyncio
from datetime import UTC, datetime
from typing import NoReturn

import pytest
from prefect.exceptions import MissingResult

from cli import run
from schemas.export import ExportRequest
from schemas.outcome import Counts, ExportOutcome, RequestCounts, Status

pytestmark = pytest.mark.anyio
REQUEST = ExportRequest(connection="c", list_id="l", profiles="p", segments=("s",), email="e")
OUTCOME = ExportOutcome(
    status=Status.COMPLETED,
    message="Delivered.",
    delivery="0" * 12,
    list_id="l",
    started_at=datetime.now(UTC),
    finished_at=datetime.now(UTC),
    counts=Counts(),
    requests=RequestCounts(),
)


async def lose_the_end(*_: object, **__: object) -> NoReturn:
    raise MissingResult("The result was not persisted and is no longer available.")


async def test_outcome_holds_though_prefect_loses_the_end_of_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "export_segment", lose_the_end)
    assert await run._run_flow(REQUEST, [OUTCOME]) is OUTCOME


async def end_in_a_cancellation(*_: object, **__: object) -> NoReturn:
    raise asyncio.CancelledError


async def test_outcome_holds_though_the_run_ends_in_a_cancellation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "export_segment", end_in_a_cancellation)
    assert await run._run_flow(REQUEST, [OUTCOME]) is OUTCOME
    with pytest.raises(asyncio.CancelledError):
        await run._run_flow(REQUEST, [])


async def test_run_that_told_no_outcome_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "export_segment", lose_the_end)
    with pytest.raises(MissingResult):
        await run._run_flow(REQUEST, [])
