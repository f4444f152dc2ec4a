"""The file of exports is refused, in one line, for what Prefect would ignore or run otherwise."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.changes import DeploymentRefused
from deployments.export_file import check_text

ROOT = Path(__file__).parents[2]
FILE = ROOT / "prefect.yaml"
CONTENT: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
CRON = {"slug": "s", "cron": "0 2 * * *", "timezone": "UTC"}
SAVED = CONTENT["deployments"][0]["parameters"]["request"]
AFTER_CRM = {
    "name": "n",
    "type": "event",
    "posture": "Reactive",
    "expect": ["segment-export.data-ready"],
    "match": {"prefect.resource.id": "segment-export.data.crm"},
}


def check(**changed: Any) -> None:
    """Check our file with something in its first export replaced."""
    first = {**CONTENT["deployments"][0], **changed}
    check_text(yaml.safe_dump({**CONTENT, "deployments": [first]}), FILE)


@pytest.mark.parametrize(
    "changed",
    [
        {"schedules": [CRON, {**CRON, "slug": "t", "active": False}]},
        {"schedules": [{"slug": "s", "interval": 3600}]},
        {"schedules": [{"slug": "s", "interval": "PT1H", "anchor_date": "2026-01-01T00:00:00Z"}]},
        {"schedules": [{"slug": "s", "rrule": "FREQ=MONTHLY;BYMONTHDAY=-1"}]},
        {"schedules": [{"slug": "s", "cron": "{{ prefect.variables.when }}"}], "triggers": []},
        {"triggers": [AFTER_CRM, {**AFTER_CRM, "enabled": False}]},
        {"parameters": {}},
        {"entrypoint": "deployments/deploy.py:deploy", "parameters": {"anything": 1}},
    ],
)
def test_what_prefect_takes_is_taken(changed: dict[str, Any]) -> None:
    check(**changed)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"schedules": [{"slug": "s", "cron": "0 2 * *"}]}, "its schedule s: cron: “0 2 *"),
        ({"schedules": [{**CRON, "timezone": "Mars"}]}, "its schedule s: timezone: there is no"),
        ({"schedules": [{**CRON, "interval": 60}]}, "Exactly one of 'cron', 'interval', or"),
        ({"schedules": [{"slug": "s"}]}, "Exactly one of 'cron', 'interval', or 'rrule'"),
        ({"schedules": [{"slug": "s", "rrule": "FREQ=X"}]}, "its schedule s: rrule: “FREQ=X"),
        ({"schedules": [{"slug": "s", "interval": 0}]}, "its schedule s: interval: “0” is no dur"),
        (
            {"schedules": [{**CRON, "zone": "UTC"}]},
            "its schedule s: zone: a schedule has no such key. Did you mean `timezone:`?",
        ),
        ({"schedules": [{"cron": "0 2 * * *"}]}, "has no `slug:`"),
        ({"schedules": [CRON, CRON]}, "two of its schedules have the slug s"),
        ({"schedule": CRON}, "Prefect's older form"),
        ({"triggers": [{**AFTER_CRM, "expects": ["x"]}]}, "`expects:` is a key that Prefect"),
        ({"triggers": [{**AFTER_CRM, "posture": "Later"}]}, "its trigger: event.posture"),
        ({"triggers": ["crm"]}, "its trigger: event: Input should be"),
        ({"parameters": {"requests": {}}}, "its parameter requests is none that export-segment"),
        ({"parameters": {"request": {"connection": "a"}}}, "its request: list_id: Field required"),
        ({"parameters": {"request": 5}}, "its request: Input should be a valid dict"),
        (
            {"parameters": {"request": {**SAVED, "as_of": "2026-13-01"}}},
            "its request: as_of: give a date (YYYY-MM-DD), today or yesterday.",
        ),
    ],
)
def test_what_would_run_otherwise_is_refused_naming_the_export(
    changed: dict[str, Any], told: str
) -> None:
    with pytest.raises(DeploymentRefused) as refusal:
        check(**changed)
    assert "export nightly-loyalty" in str(refusal.value)
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


def check_file(**changed: Any) -> None:
    """Check our file with keys of its own replaced, or others beside them."""
    check_text(yaml.safe_dump({**CONTENT, **changed}), FILE)


def entry_with(**changed: Any) -> dict[str, Any]:
    return {**CONTENT["deployments"][0], **changed}


@pytest.mark.parametrize(
    "entrypoint",
    [
        "flows/export_segment.py:export_segment",
        "./flows/export_segment.py:export_segment",
        "flows.export_segment.export_segment",
    ],
)
def test_second_entry_of_a_name_and_flow_is_refused_however_the_flow_is_spelt(
    entrypoint: str,
) -> None:
    twin = entry_with(entrypoint=entrypoint, description="another")
    with pytest.raises(DeploymentRefused) as refusal:
        check_file(deployments=[*CONTENT["deployments"], twin])
    assert "export nightly-loyalty: the file has two of this name" in str(refusal.value)
    assert "(numbers 1 and 4)" in str(refusal.value)


def test_second_entry_of_a_name_for_another_flow_is_taken() -> None:
    backfill = {**CONTENT["deployments"][2], "name": "nightly-loyalty"}
    check_file(deployments=[*CONTENT["deployments"], backfill])
    with pytest.raises(DeploymentRefused, match="numbers 4 and 5"):
        check_file(deployments=[*CONTENT["deployments"], backfill, backfill])


@pytest.mark.parametrize(
    ("name", "other"),
    [("nightly gold", "nightly.gold"), ("Nightly_Gold", "nightly-gold"), ("n" * 41, "n" * 40)],
)
def test_names_that_would_share_one_history_are_refused(name: str, other: str) -> None:
    with pytest.raises(DeploymentRefused) as refusal:
        check_file(deployments=[entry_with(name=other), entry_with(name=name)])
    assert f"export {name}: it would share its history with {other}" in str(refusal.value)
    check_file(deployments=[entry_with(name=other), {**CONTENT["deployments"][2], "name": name}])


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("pul", "`pul:` is a key that Prefect ignores. Did you mean `pull:`?"),
        ("deploymnts", "Did you mean `deployments:`?"),
        ("definition", "Did you mean `definitions:`?"),
        ("shared", "`shared:` is a key that Prefect ignores. What exports share goes under"),
    ],
)
def test_key_of_the_file_that_prefect_ignores_is_refused(key: str, told: str) -> None:
    with pytest.raises(DeploymentRefused) as refusal:
        check_file(**{"x-ours": 1, "prefect-version": "3", "pull": None, key: []})
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)
    check_file(**{"x-ours": 1, "prefect-version": "3", "pull": None})


def test_misspelt_list_of_exports_is_named() -> None:
    with pytest.raises(DeploymentRefused, match="Did you mean `deployments:`"):
        check_text("deploymnts: []\n", FILE)


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"requests": 1}, "its parameter requests is none that backfill-export takes"),
        ({}, ""),
    ],
)
def test_entries_of_the_other_flow_are_held_against_its_own_parameters(
    parameters: dict[str, Any], told: str
) -> None:
    changed = {
        "entrypoint": "flows/backfill_export.py:backfill_export",
        "parameters": parameters,
    }
    if not told:
        check(**changed)
        return
    with pytest.raises(DeploymentRefused) as refusal:
        check(**changed)
    assert told in str(refusal.value)
