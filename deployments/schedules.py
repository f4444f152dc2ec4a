"""When a saved export runs by itself: its schedules, as they are written in the file."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from prefect.cli.deploy._models import RawScheduleConfig
from prefect.cli.deploy._schedules import _schedule_config_to_deployment_schedule
from pydantic import ValidationError

from deployments.changes import DeploymentRefused
from deployments.schedule_problems import explain_value
from schemas.problems import phrase_problem

DEFAULT_SLUG = "regular"
ALL_INTERVALS_FROM = "2020-01-01T00:00:00+00:00"  # Prefect's own default moves with each deploy

_SCHEDULE_ERRORS = (ValidationError, ValueError, TypeError)
_SHORT_INTERVAL = re.compile(r"(\d+)\s*(?:(m|min|minutes?)|(h|hours?)|(d|days?))", re.IGNORECASE)


def make_schedule(
    *, cron: str = "", interval: str = "", rrule: str = "", timezone: str = "", slug: str = ""
) -> dict[str, Any]:
    """Make a schedule as it is written in the file.

    Raises:
        DeploymentRefused: it is no schedule, or says too much.
    """
    kinds = {"cron": cron, "interval": to_iso_duration(interval), "rrule": rrule}
    given = {kind: value for kind, value in kinds.items() if value}
    if len(given) != 1:
        raise DeploymentRefused("A schedule is one of --cron, --interval and --rrule.")
    spec: dict[str, Any] = {"slug": slug or DEFAULT_SLUG, **given, "timezone": timezone or "UTC"}
    if interval:
        spec["anchor_date"] = ALL_INTERVALS_FROM
    if trouble := explain_schedule(spec):
        raise DeploymentRefused(f"--{trouble}")
    return spec


def to_iso_duration(interval: str) -> str:
    """Write a duration such as 6h, 30m or 1d as ISO 8601 does; leave anything else as it is."""
    found = _SHORT_INTERVAL.fullmatch(interval.strip())
    if found is None:
        return interval
    number = int(found[1])
    if found[4]:
        return f"P{number}D"
    return f"PT{number}{'M' if found[2] else 'H'}"


def explain_schedule(spec: Any) -> str:
    """Say what is wrong with a schedule of a file, its key before it, or nothing."""
    if isinstance(spec, Mapping):
        for key in sorted(set(map(str, spec)) - set(RawScheduleConfig.model_fields)):
            near = get_close_matches(key, RawScheduleConfig.model_fields, 1)
            hint = f" Did you mean `{near[0]}:`?" if near else ""
            return f"{key}: a schedule has no such key.{hint}"
    try:
        RawScheduleConfig.model_validate(spec)
        read_schedule(spec)
    except _SCHEDULE_ERRORS as error:
        if isinstance(spec, Mapping) and (trouble := explain_value(spec)):
            return trouble
        if isinstance(error, ValidationError):
            return phrase_problem(error)
        return f"Prefect does not understand it ({type(error).__name__})."
    return ""


def read_schedule(spec: Mapping[str, Any]) -> Any:
    """Turn a schedule of a file into Prefect's, as its own command does."""
    return _schedule_config_to_deployment_schedule(dict(spec))["schedule"]


def describe_schedule(spec: Mapping[str, Any]) -> str:
    """Say when a schedule runs, in one phrase, and where that is so that it is off."""
    is_off = spec.get("active") is False
    if spec.get("interval"):
        return f"every {spec['interval']}{' (off)' if is_off else ''}"
    zone = spec.get("timezone") or "UTC"
    return f"{spec.get('cron') or spec.get('rrule', '')} ({zone}{', off' if is_off else ''})"
