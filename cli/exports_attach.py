"""`segment-export exports attach`: give an export a connection, after checking that it works."""

import asyncio
from pathlib import Path
from typing import Any

from prefect.client.schemas.responses import DeploymentResponse
from pydantic import ValidationError

from cli.errors import CommandFailed, CommandRefused
from cli.exports_changes import Entry, change_export
from cli.prefect_api import prefect_api
from cli.printing import say
from cli.save import ask_destination
from deployments.export_entry import attach
from deployments.export_yaml import to_plain
from deployments.server_exports import attach_export
from schemas.export import ExportRequest
from schemas.problems import phrase_problem
from tasks.stops import EXPORT_ERRORS, explain_stop


def attach_saved(name: str, connection: str, file: Path, *, as_json: bool) -> None:
    """Let an export go through a connection, which it had none of or another.

    Connection, permission, list and custom fields are checked as `save` does; nothing is sent.

    Raises:
        CommandRefused: a run would be refused; nothing was changed.
        CommandFailed: it cannot be told, as something does not answer.
    """
    if not connection.strip():
        raise CommandRefused(
            "--connection: name the connection that it is to go through; `exports detach` takes "
            "one away."
        )

    def settle(entry: Entry | None, export: DeploymentResponse | None) -> str:
        written = to_plain(entry) if entry else {"parameters": export.parameters if export else {}}
        list_name = _check(_read_request(name, written, connection))
        return f"{name} goes through “{connection}” now, and would deliver to list “{list_name}”."

    change_export(
        name,
        file,
        lambda opened, at: opened.change(name, at, lambda entry: attach(entry, connection)),
        lambda client, export: attach_export(client, export, connection),
        settle=settle,
        as_json=as_json,
    )


def _read_request(name: str, entry: dict[str, Any], connection: str) -> ExportRequest:
    """Read what an export would deliver through a connection."""
    request = (entry.get("parameters") or {}).get("request")
    try:
        return ExportRequest.model_validate({**(request or {}), "connection": connection})
    except (ValidationError, TypeError) as error:
        words = phrase_problem(error) if isinstance(error, ValidationError) else "they are none."
        raise CommandRefused(
            f"The settings of {name} make no sense, so nothing was changed: {words}"
        ) from None


def _check(request: ExportRequest) -> str:
    """Give the name of the list that it would deliver to."""
    try:
        with prefect_api(say):
            return asyncio.run(ask_destination(request)).list_name
    except EXPORT_ERRORS as error:
        stop = explain_stop(error)
        refusal = CommandRefused if stop.is_refusal else CommandFailed
        raise refusal(f"{stop.reason} Nothing was changed.") from error
