"""Runs that begin when upstream says that its data is ready: Prefect's event triggers."""

from contextlib import suppress
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.events import DeploymentTriggerTypes, Event, Resource
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import Automation, EventTrigger
from prefect.exceptions import ObjectNotFound
from pydantic import TypeAdapter, ValidationError

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
        problem = error.errors(include_input=False, include_url=False)[0]
        return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}."
    for key in sorted(set(trigger) - set(type(taken).model_fields)):
        return f"`{key}:` is a key that Prefect ignores; is it misspelt?"
    return ""


def announce_data(client: SyncPrefectClient, data: str) -> Event:
    """Say that data is ready; exports that listen run. Unlike Prefect's way it is there at once."""
    resource = Resource({_RESOURCE: data_resource(data), "segment-export.data.name": data})
    event = Event(event=DATA_READY, resource=resource)
    client.request("POST", "/events", json=[event.model_dump(mode="json")])
    return event


def find_listeners(client: SyncPrefectClient, data: str) -> dict[str, bool]:
    """Find the exports that run when some data is ready, and whether they are switched on.

    An export that was deleted in Prefect's UI leaves its trigger behind, which runs nothing.
    """
    ids = {
        action.deployment_id: automation.enabled
        for automation in client.read_automations()
        if _listens_to(automation, data)
        for action in automation.actions
        if isinstance(action, RunDeployment) and action.deployment_id
    }
    listeners = {}
    for deployment_id, is_on in ids.items():
        with suppress(ObjectNotFound):
            listeners[client.read_deployment(deployment_id).name] = is_on
    return listeners


def _listens_to(automation: Automation, data: str) -> bool:
    trigger = automation.trigger
    if not isinstance(trigger, EventTrigger) or DATA_READY not in trigger.expect:
        return False
    wanted = trigger.model_dump()["match"].get(_RESOURCE, [])
    names = [wanted] if isinstance(wanted, str) else wanted
    return not names or data_resource(data) in names
