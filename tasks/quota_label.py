"""Tell whoever looks at a run in Prefect that it ended for lack of the day's quota, by a label.

A backfill waits for runs of other machines, of which Prefect gives it a sentence and the labels.
"""

from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun

from tasks.tolerance import tolerating_prefect

LABEL = "segment-export.lacks-quota"


async def label_lack_of_quota(run_id: str) -> None:
    """Label a run that has ended for lack of quota."""
    async with tolerating_prefect("a label"), get_client() as client:
        await client.update_flow_run_labels(UUID(run_id), {LABEL: True})


def lacks_quota(run: FlowRun) -> bool:
    """Say whether a run has ended for lack of quota."""
    return bool(run.labels.get(LABEL))
