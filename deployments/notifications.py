"""Who is told when a run fails, is degraded or has recovered, and in what words.

Prefect's server sends the messages, so only blocks that it can load by itself are of use: its own.
Without a notification block of our name there are no automations that would need one.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.utilities.urls import url_for

from deployments.automations import OF_OUR_FLOWS, apply_automations, remove_automations
from deployments.changes import Change, Outcome
from tasks.events import RESOURCE, RunEvent

BLOCK = "segment-export-notifications"
FAILED = "segment-export: failed"
DEGRADED = "segment-export: degraded"
RECOVERED = "segment-export: recovered"
NAMES = (FAILED, DEGRADED, RECOVERED)

# Each state has an event of its own name: a run that timed out is not among the failed.
_ENDED_BADLY = frozenset(f"prefect.flow-run.{name}" for name in ("Failed", "TimedOut", "Crashed"))
_EXPORT = "{{ flow_run.name }}{% if deployment %} (saved export {{ deployment.name }}){% endif %}"
_TOO_MANY = "more than {{ event.payload.warn_rejects_percent }} % of its profiles did not arrive."
_REPAIR_RUN = (
    "What to do: put right what is named above, and run the export again. It continues where it "
    "stopped; what has arrived is not sent twice."
)
_REPAIR_SOURCE = (
    "What to do: the report counts the reasons and names the file that says which profiles they "
    "are; mend them at the source. The limit is the export's setting warn_rejects_percent."
)


def define_notifications(block_id: UUID) -> list[AutomationCore]:
    """Define the automations that tell people, through a notification block."""
    page = f"The run and its report: {_run_page()}"
    of_exports = ResourceSpecification({"prefect.resource.id": f"{RESOURCE}.*"})
    return [
        _notify(
            block_id,
            name=FAILED,
            description="Tells when a run failed, timed out or crashed.",
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=OF_OUR_FLOWS,
            expect=_ENDED_BADLY,
            subject="Export failed: {{ flow_run.name }}",
            body=(
                f"{_EXPORT} ended as {{{{ flow_run.state.name }}}}.",
                "{{ flow_run.state.message or '' }}",
                page,
                _REPAIR_RUN,
            ),
        ),
        _notify(
            block_id,
            name=DEGRADED,
            description="Tells when a run delivered, but many profiles did not arrive.",
            match=of_exports,
            expect=frozenset({RunEvent.DEGRADED.value}),
            subject="Export degraded: {{ flow_run.name }}",
            body=(
                f"{_EXPORT} has ended well, but {_TOO_MANY}",
                "{{ event.payload.message }}",
                page,
                _REPAIR_SOURCE,
            ),
        ),
        _notify(
            block_id,
            name=RECOVERED,
            description="Tells when a run is well after one that was not.",
            match=of_exports,
            expect=frozenset({RunEvent.RECOVERED.value}),
            subject="Export recovered: {{ flow_run.name }}",
            body=(
                f"{_EXPORT} is well again; its run before was {{{{ event.payload.previous }}}}.",
                "{{ event.payload.message }}",
                page,
                "There is nothing to do.",
            ),
        ),
    ]


def apply_notifications(client: SyncPrefectClient) -> list[Change]:
    """Have the automations that tell people where there is a block to tell them through."""
    found = find_blocks(client)
    if not found:
        return remove_automations(client, NAMES)
    return apply_automations(client, define_notifications(UUID(found[0]["id"])))


def save_block(client: SyncPrefectClient, block: NotificationBlock) -> list[Change]:
    """Have this notification block and no other of our name, and the automations use it."""
    before = find_blocks(client)
    block_id = str(block.save(BLOCK, overwrite=True))
    changes = apply_automations(client, define_notifications(UUID(block_id)))
    for old in before:  # of another type, which Prefect keeps beside this one
        if old["id"] != block_id:
            client.delete_block_document(UUID(old["id"]))
    outcome = Outcome.CREATED
    if before:
        is_same = find_blocks(client) == before
        outcome = Outcome.UNCHANGED if is_same else Outcome.UPDATED
    return [Change("notification block", BLOCK, outcome), *changes]


def remove_notifications(client: SyncPrefectClient) -> list[Change]:
    """Take the automations that tell people off the server, and then their block."""
    changes = remove_automations(client, NAMES)
    for block in find_blocks(client):
        client.delete_block_document(UUID(block["id"]))
        changes.append(Change("notification block", BLOCK, Outcome.REMOVED))
    return changes


def load_block(client: SyncPrefectClient) -> NotificationBlock | None:
    """Load the notification block of our name, whoever made it, of whatever type."""
    found = find_blocks(client)
    if not found:
        return None
    block = Block.load(f"{found[0]['type']}/{BLOCK}")
    return block if isinstance(block, NotificationBlock) else None


def find_blocks(client: SyncPrefectClient) -> list[dict[str, Any]]:
    """Find the blocks of our name that can notify: their ids, types, and data with secrets."""
    answer = client.request(
        "POST",
        "/block_documents/filter",
        json={
            "block_documents": {"name": {"any_": [BLOCK]}},
            "block_schemas": {"block_capabilities": {"all_": ["notify"]}},
            "include_secrets": True,
        },
    )
    return [
        {"id": found["id"], "type": found["block_type"]["slug"], "data": found["data"]}
        for found in answer.json()
    ]


def _run_page() -> str:
    """Write the address of a run in the UI as a template.

    It is the UI that belongs to the API used here: a server may not know its own address.
    """
    return str(url_for("flow-run", obj_id="{{ flow_run.id }}"))


def _notify(
    block_id: UUID,
    *,
    name: str,
    description: str,
    match: ResourceSpecification,
    expect: frozenset[str],
    subject: str,
    body: tuple[str, ...],
    match_related: ResourceSpecification | None = None,
) -> AutomationCore:
    """Define what sends one message for each event that it waits for."""
    return AutomationCore(
        name=name,
        description=description,
        trigger=EventTrigger(
            posture=Posture.Reactive,
            match=match,
            match_related=match_related or ResourceSpecification({}),
            for_each={"prefect.resource.id"},
            expect=set(expect),
            threshold=1,
            within=timedelta(0),
        ),
        actions=[
            SendNotification(block_document_id=block_id, subject=subject, body="\n\n".join(body))
        ],
    )
