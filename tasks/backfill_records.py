"""What Prefect remembers of a backfill: the runs of its snapshots, found again by their tags."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Self

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from pydantic import ValidationError

from pipeline import iter_dates
from schemas.backfill import SnapshotRange, SnapshotState

PAGE = 200  # the most that Prefect gives at once
BACKFILL = "backfill"

_SNAPSHOT_TAG = re.compile(r"snapshot:(?P<date>\d{4}-\d{2}-\d{2}):(?P<delivery>[0-9a-f]*)")
_RANGE_TAG = re.compile(
    r"range:(?P<first_date>\d{4}-\d{2}-\d{2}):(?P<last_date>\d{4}-\d{2}-\d{2}):(?P<every>[a-z]+)"
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a snapshot; `asked` is the range for which it was made."""

    date: str
    delivery: str
    run_id: str
    run_name: str
    state: StateType | None
    message: str
    asked: SnapshotRange | None = None

    @classmethod
    def read(cls, run: FlowRun) -> Self | None:
        """Read the run of a snapshot; None for one that has no such tag."""
        for tag in run.tags:
            if found := _SNAPSHOT_TAG.fullmatch(tag):
                state = run.state
                words = (state.message or state.name or "") if state else ""
                return cls(
                    date=found["date"],
                    delivery=found["delivery"],
                    run_id=str(run.id),
                    run_name=run.name,
                    state=state.type if state else None,
                    message=words,
                    asked=_read_range(run.tags),
                )
        return None

    @property
    def is_delivered(self) -> bool:
        """Say whether it ended well."""
        return self.state is StateType.COMPLETED

    @property
    def has_ended(self) -> bool:
        """Say whether it is over."""
        ends = {StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED}
        return self.state in ends


def tag_run(backfill_id: str, as_of: str, delivery: str) -> list[str]:
    """Give the tags by which the run of a snapshot is found again."""
    return [BACKFILL, f"{BACKFILL}:{backfill_id}", f"snapshot:{as_of}:{delivery}"]


def tag_range(asked: SnapshotRange) -> str:
    """Give the tag that remembers of which range a run was, for those that had none."""
    return f"range:{asked.first_date}:{asked.last_date}:{asked.every}"


def _read_range(tags: Sequence[str]) -> SnapshotRange | None:
    for tag in tags:
        if found := _RANGE_TAG.fullmatch(tag):
            with suppress(ValidationError):  # a person's own tag
                return SnapshotRange.model_validate(found.groupdict())
    return None


def list_known_dates(attempts: Mapping[str, Sequence[Attempt]]) -> tuple[str, ...]:
    """List the dates that have been run, and all others of the ranges that they were run for."""
    ranges = {one.asked for one in chain.from_iterable(attempts.values()) if one.asked}
    asked = {found.isoformat() for one in ranges for found in iter_dates(one)}
    return tuple(sorted(asked | set(attempts)))


async def read_attempts(backfill_id: str) -> dict[str, list[Attempt]]:
    """Read all runs of a backfill by their snapshots' dates, the first run first."""
    tagged = FlowRunFilter(tags=FlowRunFilterTags(all_=[f"{BACKFILL}:{backfill_id}"]))
    runs: list[FlowRun] = []
    async with get_client() as client:
        while len(runs) % PAGE == 0:
            page = await client.read_flow_runs(
                flow_run_filter=tagged,
                sort=FlowRunSort.EXPECTED_START_TIME_ASC,
                limit=PAGE,
                offset=len(runs),
            )
            if not page:
                break
            runs += page
    attempts: dict[str, list[Attempt]] = {}
    for run in runs:
        if (attempt := Attempt.read(run)) is not None:
            attempts.setdefault(attempt.date, []).append(attempt)
    return attempts


def judge_attempts(
    attempts: Sequence[Attempt], delivery: str, *, runs_elsewhere: bool
) -> tuple[SnapshotState, Attempt | None]:
    """Say where a snapshot stands by its runs, and which of them tells.

    Args:
        attempts: its runs, the first one first.
        delivery: the key of what would be delivered now; empty where its files are gone.
        runs_elsewhere: a run that has not ended is a worker's and goes on without us. Where runs
            are of this process, one that has not ended was cut off, or waits its turn when it is
            run again.
    """
    of_this = [one for one in attempts if not delivery or one.delivery == delivery]
    delivered = [one for one in of_this if one.is_delivered]
    if delivered:
        return SnapshotState.DELIVERED, delivered[-1]
    if not of_this:
        return SnapshotState.NOT_BEGUN, None
    if runs_elsewhere:
        going_on = [one for one in of_this if not one.has_ended]
        if going_on:
            return SnapshotState.UNDER_WAY, going_on[-1]
    return SnapshotState.FAILED, of_this[-1]
