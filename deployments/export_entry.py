"""What a saved export is made of in its file, and the changes that can be made to one."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap

from deployments.changes import DeploymentRefused
from deployments.export_yaml import copy_apart, is_shared, list_shared, merged, to_yaml
from deployments.heartbeats import FREQUENCY_VARIABLE, HEARTBEAT_S
from deployments.work_pool import POOL
from schemas.export import ExportRequest

FLOW = "export-segment"

_ENTRYPOINT = "flows/export_segment.py:export_segment"
_INSTALLED_ENTRYPOINT = "flows.export_segment.export_segment"


class Overlap(StrEnum):
    """What becomes of a run that begins while another of its export is under way."""

    WAIT = "wait"
    SKIP = "skip"


_COLLISIONS = {Overlap.WAIT: "ENQUEUE", Overlap.SKIP: "CANCEL_NEW"}


@dataclass(frozen=True, slots=True)
class Saving:
    """An export as it is to be saved."""

    name: str
    request: ExportRequest
    schedule: dict[str, Any] | None = None
    trigger: dict[str, Any] | None = None
    overlap: Overlap = Overlap.WAIT
    description: str = ""
    tags: tuple[str, ...] = ()


def make_entry(saving: Saving, folder: Path) -> dict[str, Any]:
    """Make the entry of an export as Prefect takes it; what is a default is left out."""
    is_project = (folder / "flows" / "export_segment.py").is_file()
    entry: dict[str, Any] = {
        "name": saving.name,
        "description": saving.description or _describe(saving.request),
        "tags": list(dict.fromkeys(("constant-contact", *saving.tags))),
        "entrypoint": _ENTRYPOINT if is_project else _INSTALLED_ENTRYPOINT,
        "enforce_parameter_schema": True,
        "concurrency_limit": {"limit": 1, "collision_strategy": _COLLISIONS[saving.overlap]},
    }
    if saving.schedule:
        entry["schedules"] = [saving.schedule]
    if saving.trigger:
        entry["triggers"] = [saving.trigger]
    request = saving.request.model_dump(mode="json", exclude_defaults=True)
    entry["parameters"] = {"request": request}
    entry["work_pool"] = {
        "name": POOL,
        "work_queue_name": "default",
        "job_variables": {
            "env": {
                "PREFECT_LOGGING_EXTRA_LOGGERS": "segment_export",
                FREQUENCY_VARIABLE: str(HEARTBEAT_S),
            }
        },
    }
    return entry


def is_export(entry: Mapping[str, Any]) -> bool:
    """Say whether an entry is an export, and not a deployment of another flow."""
    path = str(entry.get("entrypoint", "")).replace(".py:", ".").replace(":", ".")
    is_ours = path.replace("/", ".").endswith(_INSTALLED_ENTRYPOINT)
    return is_ours and isinstance(entry.get("name"), str)


def list_parts(entry: Mapping[str, Any], part: str) -> list[dict[str, Any]]:
    """List the schedules or triggers of an entry, those left aside that Prefect fills in."""
    found = entry.get(part)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def set_active(entry: CommentedMap, *, active: bool) -> None:
    """Pause or resume all that starts an export by itself.

    Pausing is written down. Without a word about it a schedule keeps the server's own switch when
    it is deployed again; a trigger is made anew, and is on.
    """
    for part, switch in (("schedules", "active"), ("triggers", "enabled")):
        if not list_parts(entry, part):
            continue
        _own(entry, part)
        for one in list_parts(entry, part):
            if active:
                one.pop(switch, None)
            else:
                one[switch] = False


def set_schedule(entry: CommentedMap, spec: Mapping[str, Any]) -> None:
    """Put a schedule in the place of the one with its slug, or beside the others."""
    if not isinstance(entry.get("schedules"), list):
        clear_schedules(entry)
        place = next((at for at, key in enumerate(entry) if key in {"triggers", "parameters"}), 0)
        entry.insert(place, "schedules", [])
    _own(entry, "schedules")
    schedules = entry["schedules"]
    for at, one in enumerate(schedules):
        if isinstance(one, dict) and one.get("slug") == spec["slug"]:
            kept = {"active": one["active"]} if "active" in one else {}
            schedules[at] = to_yaml({**spec, **kept})
            return
    schedules.append(to_yaml(dict(spec)))


def clear_schedules(entry: CommentedMap) -> None:
    """Take all schedules out."""
    entry.pop("schedules", None)


def detach(entry: CommentedMap) -> None:
    """Leave an export without a connection, as `attach` gives it one."""
    attach(entry, "")


def attach(entry: CommentedMap, connection: str) -> None:
    """Let an export go through a connection; others that share its settings keep theirs.

    Raises:
        DeploymentRefused: its settings are not written in the file.
    """
    parameters = entry.get("parameters")
    request = parameters.get("request") if isinstance(parameters, dict) else None
    if not isinstance(request, CommentedMap):
        raise DeploymentRefused(
            f"The settings of {entry['name']} are not written in the file itself, so its "
            "connection cannot be changed there. Change it where they are."
        )
    is_its_own = not (is_shared(parameters) or is_shared(request) or parameters.merge)
    if is_its_own:
        request["connection"] = to_yaml(connection)
        return
    own = merged(request, {}) if is_shared(request) else copy_apart(request)
    own["connection"] = to_yaml(connection)
    entry["parameters"] = CommentedMap({**parameters, "request": own})


def _own(entry: CommentedMap, part: str) -> None:
    """Make a part of an entry its own, where it shares any of it with others."""
    if list_shared(entry[part]):
        entry[part] = copy_apart(entry[part])


def _describe(request: ExportRequest) -> str:
    return f"Delivers {' + '.join(request.segments)} through {request.connection}."
