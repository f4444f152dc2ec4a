"""The run form of Prefect's UI is the flow's parameter schema: what it says is kept here."""

import json
from pathlib import Path
from typing import Any

import pytest
from prefect import Flow
from prefect.utilities.callables import parameter_schema

from flows.backfill_export import backfill_export
from flows.export_segment import export_segment

SNAPSHOTS = Path(__file__).parent / "run_forms"
FORMS: list[Flow[..., Any]] = [export_segment, backfill_export]


def form_of(flow: Flow[..., Any]) -> dict[str, Any]:
    return parameter_schema(flow.fn).model_dump(mode="json")


def fields_of(form: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every field of every model of a form, by its path."""
    return {
        f"{model}.{name}": field
        for model, definition in form["definitions"].items()
        for name, field in definition["properties"].items()
    }


@pytest.mark.parametrize("flow", FORMS, ids=[flow.name for flow in FORMS])
def test_form_is_as_it_was(flow: Flow[..., Any]) -> None:
    """Saved exports keep parameters by these names: after a change meant so, write it anew.

    python -m tests.unit.test_run_form
    """
    kept = json.loads((SNAPSHOTS / f"{flow.name}.json").read_text())
    assert form_of(flow) == kept


@pytest.mark.parametrize("flow", FORMS, ids=[flow.name for flow in FORMS])
def test_every_field_explains_itself(flow: Flow[..., Any]) -> None:
    for path, field in fields_of(form_of(flow)).items():
        assert field.get("title"), path
        assert field.get("description"), path


@pytest.mark.parametrize("flow", FORMS, ids=[flow.name for flow in FORMS])
def test_no_field_is_a_toggle_between_a_value_and_none(flow: Flow[..., Any]) -> None:
    """Prefect's form shows one as two buttons, "String" and "None"."""
    assert not [path for path, field in fields_of(form_of(flow)).items() if "anyOf" in field]


@pytest.mark.parametrize("flow", FORMS, ids=[flow.name for flow in FORMS])
def test_fields_have_an_order_and_refuse_what_is_misspelt(flow: Flow[..., Any]) -> None:
    form = form_of(flow)
    parameters = {field["$ref"].rsplit("/", 1)[-1] for field in _parameters(form)}
    for name, definition in form["definitions"].items():
        assert definition["additionalProperties"] is False, name
        if name in parameters:
            places = sorted(field["position"] for field in definition["properties"].values())
            assert places == list(range(len(places))), name


def _parameters(form: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        one
        for field in form["properties"].values()
        for one in [field, *field.get("allOf", [])]
        if "$ref" in one
    ]


if __name__ == "__main__":
    for each in FORMS:
        text = json.dumps(form_of(each), indent=2, ensure_ascii=False)
        (SNAPSHOTS / f"{each.name}.json").write_text(text + "\n")
