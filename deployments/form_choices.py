"""What the run form of a saved export offers: connections to choose from, segments by name."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import chdir
from copy import deepcopy
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import DeploymentSort
from pydantic import ValidationError

from pipeline import list_segments
from schemas.export import ExportRequest
from tasks.connection import list_connections

_MODEL = ExportRequest.__name__
_SEGMENTS_TOLD = 50
_PAGE = 200  # what Prefect's server gives at once


def offer_choices(
    client: SyncPrefectClient, deployments: Iterable[DeploymentResponse], folder: Path
) -> None:
    """Let the forms of exports offer what there is now.

    Args:
        client: of the server that has them.
        deployments: exports as they are there; those of other flows are left alone.
        folder: which relative paths start from.
    """
    exports = [one for one in deployments if _model_of(one.parameter_openapi_schema)]
    if not exports:
        return
    connections = asyncio.run(list_connections())
    for export in exports:
        saved = (export.parameters or {}).get("request")
        schema = add_choices(
            export.parameter_openapi_schema or {},
            saved=saved if isinstance(saved, dict) else {},
            connections=connections,
            segments=_find_segments(saved, folder),
        )
        if schema != export.parameter_openapi_schema:
            update = DeploymentUpdate(parameter_openapi_schema=schema)
            client.update_deployment(export.id, update)


def renew_connections(client: SyncPrefectClient) -> None:
    """Let the forms of all exports on a server offer the connections that there are by now."""
    connections = asyncio.run(list_connections())
    for export in _read_all(client):
        fields = _model_of(export.parameter_openapi_schema)
        if "enum" not in fields.get("connection", {}):
            continue
        saved = (export.parameters or {}).get("request")
        schema = add_choices(
            export.parameter_openapi_schema or {},
            saved=saved if isinstance(saved, dict) else {},
            connections=connections,
        )
        if schema != export.parameter_openapi_schema:
            client.update_deployment(export.id, DeploymentUpdate(parameter_openapi_schema=schema))


def _read_all(client: SyncPrefectClient) -> list[DeploymentResponse]:
    """Read all deployments, of which Prefect's server gives some at a time."""
    found: list[DeploymentResponse] = []
    while True:
        page = client.read_deployments(limit=_PAGE, offset=len(found), sort=DeploymentSort.NAME_ASC)
        found += page
        if len(page) < _PAGE:
            return found


def add_choices(
    schema: dict[str, Any],
    *,
    saved: dict[str, Any],
    connections: Iterable[str],
    segments: Sequence[str] = (),
) -> dict[str, Any]:
    """Give a form's schema with what there is to choose from; what is saved is always among it.

    Connections are a list, which Prefect keeps to. Segments are only told: Prefect would refuse
    one that the next refresh brings, and those of other profiles.
    """
    schema = deepcopy(schema)
    fields = _model_of(schema)
    schema.get("properties", {}).get("request", {})["title"] = "Export"
    names = set(connections)
    if isinstance(saved.get("connection"), str):
        names.add(saved["connection"])
    if names:
        fields["connection"]["enum"] = sorted(names)
    if segments:
        told = ", ".join(segments[:_SEGMENTS_TOLD])
        more = len(segments) - _SEGMENTS_TOLD
        fields["segments"]["description"] += (
            f" When it was saved there were: {told}{f' and {more:,} more' if more > 0 else ''}."
        )
    return schema


def allow_connection(schema: dict[str, Any], connection: str) -> dict[str, Any]:
    """Give a form's schema that takes a connection: none, where that was taken away."""
    schema = deepcopy(schema)
    field = _model_of(schema).get("connection", {})
    if "enum" in field:
        field["enum"] = sorted({*filter(None, field["enum"]), connection})
    return schema


def _model_of(schema: Any) -> dict[str, Any]:
    """Find the fields of an export in a form's schema; none in that of another flow."""
    found: Any = schema
    for key in ("definitions", _MODEL, "properties"):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _find_segments(saved: Any, folder: Path) -> list[str]:
    try:
        request = ExportRequest.model_validate(saved)
    except ValidationError:
        return []
    with chdir(folder):
        return list_segments(request)
