"""Which value of a schedule Prefect refuses, why, and what to write instead.

Prefect decides; this finds the value that it means and tells it in words that help.
"""

from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import Any
from zoneinfo import available_timezones

from prefect.client.schemas.schedules import CronSchedule, RRuleSchedule
from pydantic import TypeAdapter, ValidationError

_CRON_FIELDS = ("minute", "hour", "day of the month", "month", "day of the week")
_NIGHTLY = '"0 2 * * *" is every night at two'
_INTERVALS = "PT6H is six hours, PT30M thirty minutes, P1D a day"
_RULES = "FREQ=DAILY;BYHOUR=2;BYMINUTE=0;BYSECOND=0 is every night at two"
_ZONES = "zones are called like Europe/London or America/New_York"
_MOST_SUGGESTIONS = 3
_NEAR = 0.85  # of two names that are the same but for a letter or two


def explain_value(spec: Mapping[str, Any]) -> str:
    """Say which value of a schedule is refused and what to write, or nothing if none of them is."""
    if (cron := spec.get("cron")) and isinstance(cron, str) and not _is_cron(cron):
        return f"cron: “{cron}” {_explain_cron(cron)}; {_NIGHTLY}."
    if (interval := spec.get("interval")) is not None and not _is_interval(interval):
        return f"interval: “{interval}” is no duration to wait between runs; {_INTERVALS}."
    if (rrule := spec.get("rrule")) and isinstance(rrule, str) and not _is_rrule(rrule):
        return f"rrule: “{rrule}” is no iCalendar rule; {_RULES}."
    zone = spec.get("timezone")
    if zone and isinstance(zone, str) and zone not in available_timezones():
        return f"timezone: there is no zone “{zone}”. {_suggest_zones(zone)}"
    return ""


def _explain_cron(cron: str) -> str:
    fields = cron.split()
    if len(fields) != len(_CRON_FIELDS):
        count = f"{len(fields)} field{'' if len(fields) == 1 else 's'}"
        return f"has {count} and cron takes five ({', '.join(_CRON_FIELDS)})"
    for at, field in enumerate(fields):
        alone = ["*"] * len(_CRON_FIELDS)
        alone[at] = field
        if not _is_cron(" ".join(alone)):
            return f"says {field} for the {_CRON_FIELDS[at]}, which cron does not take"
    return f"is no cron line ({', '.join(_CRON_FIELDS)})"


def _suggest_zones(zone: str) -> str:
    """Name the zones that are meant perhaps: by the whole name, or by the city alone."""
    zones = sorted(available_timezones())
    wanted = zone.casefold().replace(" ", "_")
    by_name = {name.casefold(): name for name in zones}
    by_city: dict[str, str] = {}
    for name in zones:
        area, _, city = name.rpartition("/")
        if area and area not in {"posix", "right"}:
            by_city.setdefault(city.casefold(), name)
    near = [by_name[key] for key in get_close_matches(wanted, by_name, _MOST_SUGGESTIONS, _NEAR)]
    if not near:
        city = wanted.rpartition("/")[2]
        near = [by_city[key] for key in get_close_matches(city, by_city, _MOST_SUGGESTIONS, _NEAR)]
    if near:
        return f"Did you mean {' or '.join(dict.fromkeys(near))}?"
    return f"{_ZONES[0].upper()}{_ZONES[1:]}."


def _is_cron(cron: str) -> bool:
    try:
        CronSchedule(cron=cron)
    except ValidationError:
        return False
    return True


def _is_interval(interval: Any) -> bool:
    try:
        return TypeAdapter(timedelta).validate_python(interval) > timedelta()
    except ValidationError:
        return False


def _is_rrule(rrule: str) -> bool:
    try:
        RRuleSchedule(rrule=rrule)
    except ValidationError:
        return False
    return True
