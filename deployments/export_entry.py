"""What a saved export is made of in its file, and the changes that can be made to one."""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from deployments.changes import DeploymentRefused
from deployments.export_yaml import copy_apart, is_shared, list_shared, merged, to_yaml
from deployments.heartbeats import FREQUENCY_VARIABLE, HEARTBEAT_S
from deployments.work_pool import POOL
from schemas.export import ExportRequest

FLOW = "export-segment"

_ENTRYPOINT = "flows/export_segment.py:export_segment"
_INSTALLED_ENTRYPOINT = "flows.export_segment.export_segment"
_AFTER_SCHEDULES = {"triggers", "parameters", "work_pool"}
_SWITCHES = (("schedules", "active"), ("triggers", "enabled"))
_TIMES = ("cron", "interval", "rrule", "timezone", "anchor_date", "day_or")


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
    is_ours = flow_path(str(entry.get("entrypoint", ""))).endswith(_INSTALLED_ENTRYPOINT)
    return is_ours and isinstance(entry.get("name"), str)


def flow_path(entrypoint: str) -> str:
    """Give where a flow is, in the one way for both that Prefect takes: file:name, module.name."""
    path = posixpath.normpath(entrypoint).replace(".py:", ".").replace(":", ".")
    return path.replace("/", ".")


def list_parts(entry: Mapping[str, Any], part: str) -> list[Any]:
    """List the schedules or triggers of an entry, those left aside that Prefect fills in."""
    found = entry.get(part)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def list_switches(entry: Mapping[str, Any]) -> list[Any]:
    """List what an entry says of whether its schedules and triggers are on; None where nothing."""
    schedules, triggers = list_parts(entry, "schedules"), list_parts(entry, "triggers")
    switches = [one.get("active") for one in schedules] + [one.get("enabled") for one in triggers]
    return [False] * len(switches) if entry.get("paused") else switches


def is_off(entry: Mapping[str, Any]) -> bool:
    """Say whether an entry says that all that starts its export by itself is off."""
    switches = list_switches(entry)
    return bool(switches) and all(one is False for one in switches)


def keep_off(entry: dict[str, Any], before: Mapping[str, Any]) -> None:
    """Leave an export paused that was so before it was saved anew."""
    if is_off(before):
        for part, switch in _SWITCHES:
            for one in list_parts(entry, part):
                one[switch] = False


def set_active(entry: CommentedMap, *, active: bool, is_known: bool = True) -> None:
    """Pause or resume all that starts an export by itself.

    Pausing is written down. Without a word about it a schedule keeps the server's own switch when
    it is deployed again; a trigger is made anew, and is on. So resuming is written down where the
    server does not know of it yet.
    """
    if active and entry.get("paused"):
        entry["paused"] = False
    for part, switch in _SWITCHES:
        if not list_parts(entry, part):
            continue
        _own(entry, part)
        for one in list_parts(entry, part):
            if not active:
                one[switch] = False
            elif part == "schedules" and not is_known:
                one[switch] = True
            else:
                one.pop(switch, None)


def set_schedule(entry: CommentedMap, spec: Mapping[str, Any]) -> None:
    """Change when the schedule with a slug runs, or put another beside the others.

    One that is there keeps its switch, and whatever else it says.
    """
    if not isinstance(entry.get("schedules"), list):
        clear_schedules(entry)
        keys = list(entry)
        place = next((at for at, key in enumerate(keys) if key in _AFTER_SCHEDULES), len(keys))
        entry.insert(place, "schedules", CommentedSeq())
    _own(entry, "schedules")
    for one in entry["schedules"]:
        if isinstance(one, CommentedMap) and one.get("slug") == spec["slug"]:
            _set_times(one, spec)
            return
    entry["schedules"].append(to_yaml(dict(spec)))


def _set_times(schedule: CommentedMap, spec: Mapping[str, Any]) -> None:
    """Write down when a schedule runs, in the place of when it did."""
    place = next((at for at, key in enumerate(schedule) if key in _TIMES), len(schedule))
    for key in _TIMES:
        if key in schedule and key not in spec:
            del schedule[key]
    for key in reversed([key for key in spec if key in _TIMES]):
        if key not in schedule:
            schedule.insert(place, key, to_yaml(spec[key]))
        elif schedule[key] != spec[key]:
            schedule[key] = to_yaml(spec[key])


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
    if list_shared(entry[part]) or any(one.merge for one in list_parts(entry, part)):
        entry[part] = copy_apart(entry[part])


def _describe(request: ExportRequest) -> str:
    return f"Delivers {' + '.join(request.segments)} through {request.connection}."
