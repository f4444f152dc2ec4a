"""The file of saved exports (prefect.yaml): what Prefect silently ignores in it, and we do not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from prefect.cli.deploy._models import (
    ConcurrencyLimitSpec,
    DeploymentConfig,
    PrefectYamlModel,
    WorkPoolConfig,
)
from pydantic import BaseModel, ValidationError

from deployments.changes import DeploymentRefused
from deployments.entry_parameters import find_parameter_problem
from deployments.export_entry import FLOW, flow_path, is_export
from deployments.heartbeats import FREQUENCY_VARIABLE, HEARTBEAT_S, is_safe
from deployments.schedules import explain_schedule
from deployments.triggers import explain_trigger
from pipeline import export_slug
from schemas.problems import phrase_problem

_OWN_KEYS = "x-"  # begin the keys that people keep for themselves, as in files of other tools


@dataclass(frozen=True, slots=True)
class SavedExport:
    """Which deployment an entry of the file is; another flow's may have the same name.

    `slugs` are those of its schedules; None where Prefect fills in what they are.
    """

    name: str
    entrypoint: str
    slugs: frozenset[str] | None = field(default=None, compare=False)


def read_exports(file: Path) -> list[SavedExport]:
    """Read which exports a file saves, and refuse what would deploy to something else.

    Raises:
        DeploymentRefused: naming the first thing that is wrong, and where.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DeploymentRefused(
            f"There is no {file.name} in {file.parent}. Run this in the folder that has it, or "
            "name it with --file."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DeploymentRefused(f"{file} cannot be read ({type(error).__name__}).") from error
    return check_text(text, file)


def check_text(text: str, file: Path) -> list[SavedExport]:
    """Check the text of a file that may not be written yet, as `read_exports` does."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DeploymentRefused(f"{file} is not YAML{_place(error)}. Mend it there.") from error
    if isinstance(content, dict) and (trouble := _explain_keys(content)):
        raise DeploymentRefused(f"{file.name}: {trouble}")
    entries = content.get("deployments") if isinstance(content, dict) else None
    if not entries or not isinstance(entries, list):
        raise DeploymentRefused(f"{file} has no list of exports under `deployments:`.")
    for problem in find_problems(entries, file.absolute().parent):
        raise DeploymentRefused(f"{file.name}, {problem}")
    if trouble := _explain(PrefectYamlModel, content):
        raise DeploymentRefused(f"{file.name}: {trouble}")
    return [SavedExport(one["name"], one["entrypoint"], _slugs_of(one)) for one in entries]


def find_problems(entries: list[Any], folder: Path) -> Iterator[str]:
    """Find what is wrong with the exports of a file, each told in one sentence."""
    for position, entry in enumerate(entries, 1):
        for key in ("name", "entrypoint"):
            if not isinstance(entry, dict) or not isinstance(entry.get(key), str):
                yield f"export {position}: `{key}:` is missing."
                return
        for problem in _problems_of(entry, folder):
            yield f"export {entry['name']}: {problem}"
    yield from _problems_of_names(entries)


def _problems_of_names(entries: list[dict[str, Any]]) -> Iterator[str]:
    """Find entries that would be one on the server, or whose histories would."""
    places: dict[tuple[str, str], int] = {}
    names: dict[str, str] = {}
    for position, entry in enumerate(entries, 1):
        name = entry["name"]
        flow = FLOW if is_export(entry) else flow_path(entry["entrypoint"])
        first = places.setdefault((name, flow), position)
        if first != position:
            yield (
                f"export {name}: the file has two of this name for the same flow (numbers {first} "
                f"and {position}), and on the server the second would take the place of the first. "
                "Give one another name, or take it out."
            )
        slug = export_slug(name)
        other = names.setdefault(slug, name) if is_export(entry) else name
        if other != name:
            yield (
                f"export {name}: it would share its history with {other}, as both are “{slug}” "
                "there, where only letters and digits count, small or capital, of the first 40 "
                "characters. Give one another name."
            )


def _explain_keys(content: Mapping[Any, Any]) -> str:
    """Say which key of the file Prefect ignores, or nothing."""
    known = {field.alias or name for name, field in PrefectYamlModel.model_fields.items()}
    known |= {*PrefectYamlModel.model_fields, "definitions"}
    for key in map(str, content):
        if key not in known and not key.startswith(_OWN_KEYS):
            shared = "What exports share goes under `definitions:`, or a key that begins with x-."
            near = get_close_matches(key, sorted(known), 1)
            meant = f"Did you mean `{near[0]}:`?" if near else shared
            return f"`{key}:` is a key that Prefect ignores. {meant}"
    return ""


def _problems_of(entry: dict[str, Any], folder: Path) -> Iterator[str]:
    source, _, _ = entry["entrypoint"].partition(":")
    if source.endswith(".py") and not (folder / source).is_file():
        yield f"its entrypoint {source} is not below {folder}."
    parts: list[tuple[str, type[BaseModel]]] = [
        ("", DeploymentConfig),
        ("work_pool", WorkPoolConfig),
        ("concurrency_limit", ConcurrencyLimitSpec),
    ]
    for part, model in parts:
        keys = entry.get(part) if part else entry
        for key in sorted(set(keys) - set(model.model_fields) if isinstance(keys, dict) else ()):
            yield f"`{part and part + ': '}{key}:` is a key that Prefect ignores; is it misspelt?"
    if not is_safe(_look_up(entry, "work_pool", "job_variables", "env", FREQUENCY_VARIABLE)):
        yield (
            "without frequent heartbeats its healthy runs would be taken for dead; put "
            f'{FREQUENCY_VARIABLE}: "{HEARTBEAT_S}" under `work_pool: job_variables: env:`.'
        )
    yield from _problems_of_beginnings(entry)
    if trouble := find_parameter_problem(entry["entrypoint"], entry.get("parameters") or {}):
        yield trouble


def _problems_of_beginnings(entry: Mapping[str, Any]) -> Iterator[str]:
    """Find what is wrong with what starts an export by itself."""
    if "schedule" in entry:
        yield "`schedule:` is Prefect's older form; write a list under `schedules:`."
    slugs = set()
    for schedule in _list_of(entry, "schedules"):
        if "{{" in str(schedule):  # which Prefect fills in
            continue
        slug = schedule.get("slug") if isinstance(schedule, dict) else None
        if trouble := explain_schedule(schedule):
            yield f"its schedule {slug or ''}".rstrip() + f": {trouble}"
        elif not slug:
            yield "its schedule has no `slug:`, by which it is found again; give it one."
        elif slug in slugs:
            yield f"two of its schedules have the slug {slug}; give each its own."
        slugs.add(slug)
    for trigger in _list_of(entry, "triggers"):
        if "{{" not in str(trigger) and (trouble := explain_trigger(trigger)):
            yield f"its trigger: {trouble}"


def _slugs_of(entry: Mapping[str, Any]) -> frozenset[str] | None:
    slugs = [schedule.get("slug") for schedule in _list_of(entry, "schedules")]
    if any(not slug or "{{" in slug for slug in slugs):
        return None
    return frozenset(map(str, slugs))


def _list_of(entry: Mapping[str, Any], key: str) -> list[Any]:
    found = entry.get(key)
    return found if isinstance(found, list) else []


def _look_up(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _explain(model: type[BaseModel], content: Any) -> str:
    """Say what is first wrong with content of a kind, or nothing."""
    try:
        model.model_validate(content)
    except ValidationError as error:
        return phrase_problem(error)
    return ""


def _place(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f" (line {mark.line + 1}: {getattr(error, 'problem', '')})" if mark else ""
