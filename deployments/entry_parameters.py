"""The saved parameters of an entry, held against the flow that will take them."""

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, get_type_hints

from prefect import Flow
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import validate
from pydantic import BaseModel, ValidationError

from schemas.problems import phrase_problem


def find_parameter_problem(entrypoint: str, parameters: Mapping[str, Any]) -> str:
    """Say what the flow of an entrypoint of ours would refuse in parameters, or nothing.

    What holds a reference is left to Prefect, which fills it in when it deploys.
    """
    flow = _find_flow(entrypoint)
    if flow is None:
        return ""
    kinds = get_type_hints(flow.fn)
    for name in parameters:
        if name not in flow.parameters.properties:
            known = ", ".join(flow.parameters.properties)
            return f"its parameter {name} is none that {flow.name} takes; it takes {known}."
    plain = {name: value for name, value in parameters.items() if "{{" not in str(value)}
    for name, value in plain.items():
        kind = kinds.get(name)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            try:
                kind.model_validate(value)
            except ValidationError as error:
                return f"its {name}: {phrase_problem(error)}"
    schema = parameter_schema(flow).model_dump(exclude_unset=True)
    for refusal in validate(plain, {**schema, "required": []}):
        return f"its {refusal.json_path.removeprefix('$.')}: {refusal.message}."
    return ""


def _find_flow(entrypoint: str) -> Flow[..., Any] | None:
    """Find a flow of ours; those of others are theirs to check."""
    path = entrypoint.replace(".py:", ".").replace(":", ".").replace("/", ".")
    folder, _, name = path.rpartition(".")
    module = folder[folder.rfind("flows.") :] if "flows." in folder else ""
    if not module or find_spec(module) is None:
        return None
    found = getattr(import_module(module), name, None)
    return found if isinstance(found, Flow) else None
