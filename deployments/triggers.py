"""Runs that begin when upstream says that its data is ready: Prefect's event triggers."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.events import DeploymentTriggerTypes, Event, Resource
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import Automation, EventTrigger
from prefect.exceptions import ObjectNotFound
from pydantic import TypeAdapter, ValidationError

from schemas.problems import phrase_problem

DATA_READY = "segment-export.data-ready"
_RESOURCE = "prefect.resource.id"
_DATA = "segment-export.data."
_READ_TRIGGER: TypeAdapter[DeploymentTriggerTypes] = TypeAdapter(DeploymentTriggerTypes)


def data_resource(data: str) -> str:
    """Give the id under which events name some data."""
    return f"{_DATA}{data}"


def make_trigger(export: str, *, data: str = "", event: str = "") -> dict[str, Any]:
    """Make the trigger that runs an export when an event says that its data is ready.

    Args:
        export: the name of the export.
        data: what the data is called; empty where the event's name says it all.
        event: the event's name; of ours where it is empty.
    """
    event = event or DATA_READY
    trigger: dict[str, Any] = {
        "name": f"segment-export: {export} after {data or event}",
        "description": f"Runs {export} when {data or event} is ready.",
        "type": "event",
        "posture": "Reactive",
        "expect": [event],
    }
    if data:
        trigger["match"] = {_RESOURCE: data_resource(data)}
    return trigger


def describe_trigger(trigger: dict[str, Any]) -> str:
    """Say after what a trigger of a file runs its export."""
    match = trigger.get("match") or {}
    resource = str(match.get(_RESOURCE, "")) if isinstance(match, dict) else ""
    if resource.startswith(_DATA):
        return f"after {resource.removeprefix(_DATA)}"
    expected = trigger.get("expect") or ["any event"]
    events = [expected] if isinstance(expected, str) else sorted(map(str, expected))
    return f"after {' or '.join(events)}"


def describe_automation(automation: Automation) -> str:
    """Say after what an automation runs its export."""
    return describe_trigger(automation.trigger.model_dump(mode="json"))


def explain_trigger(trigger: Any) -> str:
    """Say what is wrong with a trigger of a file, or nothing; Prefect ignores keys it ignores."""
    try:
        taken = _READ_TRIGGER.validate_python(trigger)
    except ValidationError as error:
        return phrase_problem(error)
    for key in sorted(set(trigger) - set(type(taken).model_fields)):
        return f"`{key}:` is a key that Prefect ignores; is it misspelt?"
    return ""


def announce_data(client: SyncPrefectClient, data: str) -> Event:
    """Say that data is ready; exports that listen run. Unlike Prefect's way it is there at once."""
    resource = Resource({_RESOURCE: data_resource(data), "segment-export.data.name": data})
    event = Event(event=DATA_READY, resource=resource)
    client.request("POST", "/events", json=[event.model_dump(mode="json")])
    return event


@dataclass(frozen=True, slots=True)
class Listener:
    """An export that runs when data is ready, and whether it is switched on.

    `data` is what it waits for; nothing in it stands for any data.
    """

    export: str
    is_on: bool
    data: frozenset[str]

    def waits_for(self, data: str) -> bool:
        """Say whether it runs when this data is ready."""
        return not self.data or data in self.data


def read_listeners(client: SyncPrefectClient) -> list[Listener]:
    """Read which exports run when some data is ready.

    An export that was deleted in Prefect's UI leaves its trigger behind, which runs nothing.
    """
    listeners = []
    for automation in client.read_automations():
        data = _data_of(automation)
        if data is None:
            continue
        for action in automation.actions:
            if isinstance(action, RunDeployment) and action.deployment_id:
                with suppress(ObjectNotFound):
                    export = client.read_deployment(action.deployment_id).name
                    listeners.append(Listener(export, automation.enabled, data))
    return listeners


def _data_of(automation: Automation) -> frozenset[str] | None:
    """Find which data an automation waits for; None where it waits for something else."""
    trigger = automation.trigger
    if not isinstance(trigger, EventTrigger) or DATA_READY not in trigger.expect:
        return None
    wanted = trigger.model_dump()["match"].get(_RESOURCE, [])
    names = [wanted] if isinstance(wanted, str) else wanted
    if not names:
        return frozenset()
    ours = frozenset(name.removeprefix(_DATA) for name in names if name.startswith(_DATA))
    return ours or None
