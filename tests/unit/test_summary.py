"""The summary that a person reads at the end of a command."""

from datetime import UTC, datetime

import pytest
from rich.console import Console

from cli.summary import print_summary
from schemas.outcome import (
    BatchOutcome,
    BatchState,
    Counts,
    ExportOutcome,
    RequestCounts,
    Status,
)

MOMENT = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize("accepted", [0, 2])
def test_continued_run_says_how_many_batches_were_in_already(
    accepted: int, capsys: pytest.CaptureFixture[str]
) -> None:
    batches = tuple(
        BatchOutcome(
            file_name=f"x.{number}.csv", rows=10, bytes=1, activity_id="id",
            state=BatchState.COMPLETED, already_accepted=number < accepted,
        )
        for number in range(3)
    )  # fmt: skip
    print_summary(
        ExportOutcome(
            status=Status.COMPLETED, message="m", delivery="d", list_id="l", started_at=MOMENT,
            finished_at=MOMENT, counts=Counts(profiles_in_segment=30, sent=30),
            requests=RequestCounts(), batches=batches,
        ),
        Console(),
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert "3    batches in all" in printed
    assert ("2    of them accepted from an earlier run" in printed) is bool(accepted)
