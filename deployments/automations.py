"""The automations that end runs whose process is gone, so that none is shown Running for ever.

Prefect notices a dead process only while the worker that started it lives. Both automations name
the events that they wait for one by one: `prefect.flow-run.*` would let any event that happened
to follow the last heartbeat, such as that of a pull step, stand for a sign of life.
"""

from collections.abc import Sequence
from datetime import timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from deployments.changes import Change, Outcome
from deployments.heartbeats import HEARTBEAT_WINDOW_S

FLOWS = ("export-segment", "backfill-export")
OF_OUR_FLOWS = ResourceSpecification(
    {"prefect.resource.role": "flow", "prefect.resource.name": list(FLOWS)}
)
PENDING_WINDOW_S = 15 * 60

_HEARTBEAT = "prefect.flow-run.heartbeat"
_RUNNING = "prefect.flow-run.Running"
_PENDING = frozenset(
    f"prefect.flow-run.{name}" for name in ("Pending", "Submitting", "InfrastructurePending")
)
_LEFT = frozenset(  # the names of the states in which no process works
    f"prefect.flow-run.{name}"
    for name in (
        *("Completed", "Cached", "Failed", "TimedOut", "Crashed", "Cancelled"),
        *("Scheduled", "Late", "AwaitingRetry", "AwaitingConcurrencySlot", "Paused", "Suspended"),
    )
)


def define_automations(*, heartbeat_window_s: float = HEARTBEAT_WINDOW_S) -> list[AutomationCore]:
    """Define the automations; the window is another only where a test cannot wait."""
    return [
        _crash_after_silence(
            name="segment-export: heartbeat lost",
            description="Marks a run Crashed when its process has stopped giving signs of life.",
            # Running as well: a process may die before its first heartbeat has left it.
            after=frozenset({_HEARTBEAT, _RUNNING}),
            expect=frozenset({_HEARTBEAT, _RUNNING}) | _LEFT,
            window_s=heartbeat_window_s,
            message="The process died: no sign of life for "
            f"{heartbeat_window_s:g} seconds. Nothing is lost: run the export again, "
            "it continues where it stopped.",
        ),
        _crash_after_silence(
            name="segment-export: stuck pending",
            description="Marks a run Crashed that was picked up and never began; "
            "it would keep the next run of its export waiting.",
            after=_PENDING,
            expect=_PENDING | {_RUNNING, "prefect.flow-run.Cancelling"} | _LEFT,
            window_s=PENDING_WINDOW_S,
            message="The run was picked up and did not begin within "
            f"{PENDING_WINDOW_S // 60} minutes: its worker died. Nothing was sent: run the "
            "export again.",
        ),
    ]


def apply_automation(client: SyncPrefectClient, wanted: AutomationCore) -> Change:
    """Have exactly one automation of a name on the server, and it as wanted."""
    wanted = _settle(wanted)
    found = client.read_automations_by_name(wanted.name)
    if not found:
        client.create_automation(wanted)
        return Change("automation", wanted.name, Outcome.CREATED)
    kept, *repeated = found
    for automation in repeated:  # Prefect's own command makes another with every call
        client.delete_automation(automation.id)
    is_as_wanted = _settle(kept) == wanted
    if not is_as_wanted:
        client.update_automation(kept.id, wanted)
    outcome = Outcome.UNCHANGED if is_as_wanted and not repeated else Outcome.UPDATED
    return Change("automation", wanted.name, outcome)


def apply_automations(client: SyncPrefectClient, wanted: Sequence[AutomationCore]) -> list[Change]:
    """Have the automations on the server, once each; doing it again changes nothing."""
    return [apply_automation(client, automation) for automation in wanted]


def remove_automations(client: SyncPrefectClient, names: Sequence[str]) -> list[Change]:
    """Take the automations of these names off the server."""
    changes = []
    for name in names:
        found = client.read_automations_by_name(name)
        for automation in found:
            client.delete_automation(automation.id)
        if found:
            changes.append(Change("automation", name, Outcome.REMOVED))
    return changes


def _settle(automation: AutomationCore) -> AutomationCore:
    """Set every field but the owner: an update leaves out what is not set, and refuses that."""
    return AutomationCore.model_validate(automation.model_dump(exclude={"owner_resource"}))


def _crash_after_silence(
    *,
    name: str,
    description: str,
    after: frozenset[str],
    expect: frozenset[str],
    window_s: float,
    message: str,
) -> AutomationCore:
    """Define what marks a run Crashed when one event is not followed by any of others in time.

    What may come `after` is among the expected: each such event then begins a new window. The
    state is not forced, so a run that has ended meanwhile keeps its end.
    """
    return AutomationCore(
        name=name,
        description=description,
        trigger=EventTrigger(
            posture=Posture.Proactive,
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related=OF_OUR_FLOWS,
            for_each={"prefect.resource.id"},
            after=set(after),
            expect=set(expect),
            threshold=1,
            within=timedelta(seconds=window_s),
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message=message)],
    )
