"""A backfill in Prefect's UI: its plan, and where each snapshot stands."""

import json
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.runtime import flow_run

from schemas.backfill import BackfillOutcome
from tasks.tolerance import tolerating_prefect

PLAN_KEY = "backfill-plan"
STATUS_KEY = "backfill-status"


async def show_plan(plan: BackfillOutcome) -> None:
    """Show what a backfill would do."""
    rows = [
        {
            "snapshot": one.date,
            "state": tell_state(one.state),
            "contacts, at most": one.rows,
            "requests, about": one.requests,
            "day": one.day or "",
            "remark": one.message,
        }
        for one in plan.snapshots
    ]
    async with tolerating_prefect():
        await _create_table(PLAN_KEY, rows, plan.message)


class StatusTable:
    """One table that is kept up to date while a backfill goes on."""

    def __init__(self) -> None:
        self._id: UUID | None = None

    async def show(self, outcome: BackfillOutcome) -> None:
        """Show where each snapshot stands now."""
        rows = tabulate_status(outcome)
        async with tolerating_prefect():
            if self._id is None:
                self._id = await _create_table(STATUS_KEY, rows, outcome.message)
                return
            update = ArtifactUpdate(data=json.dumps(rows), description=outcome.message)
            async with get_client() as client:
                await client.update_artifact(self._id, update)


async def _create_table(key: str, rows: list[dict[str, Any]], description: str) -> UUID:
    """Create a table; of a run where there is one, which Prefect's own function insists on."""
    run_id = flow_run.id
    artifact = ArtifactCreate(
        key=key,
        type="table",
        description=description,
        data=json.dumps(rows),
        flow_run_id=UUID(run_id) if run_id else None,
    )
    async with get_client() as client:
        return (await client.create_artifact(artifact)).id


def tabulate_status(outcome: BackfillOutcome) -> list[dict[str, Any]]:
    """Tabulate where each snapshot stands."""
    return [
        {
            "snapshot": one.date,
            "state": tell_state(one.state),
            "runs": one.attempts,
            "last run": one.run_name,
            "what came of it": one.message,
        }
        for one in outcome.snapshots
    ]


def tell_state(state: str) -> str:
    """Write a state as a person reads it."""
    return state.replace("_", " ")
