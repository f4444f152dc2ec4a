"""`segment-export deploy`: put the saved exports, and what watches over them, on a server."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from cli.embedded import configured_api_url
from cli.errors import CommandFailed, CommandRefused
from cli.naming import command_path
from cli.prefect_api import prefect_api
from cli.work_pools import advise
from deployments.changes import Change, DeploymentFailed, DeploymentRefused
from deployments.deploy import deploy
from deployments.server import prefect_server
from deployments.work_pool import read_standing


def deploy_exports(file: Path, *, as_json: bool) -> None:
    """Deploy a file's exports to the configured Prefect server, and tell what changed.

    Raises:
        CommandRefused: no server is configured, or the file makes no sense; nothing was changed.
        CommandFailed: the server does not answer, or Prefect refused something.
    """
    require_server("to deploy to")
    changes = []
    server = configured_api_url()
    try:
        with prefect_api(lambda _: None):
            coming = deploy(file)
            if not as_json:
                sys.stdout.write(f"Prefect server: {server}\n")
                sys.stdout.flush()
            for change in coming:
                changes.append(change)
                if not as_json:
                    _tell(change)
            with prefect_server() as client:
                standing = read_standing(client)
    except DeploymentRefused as error:
        raise CommandRefused(str(error)) from error
    except DeploymentFailed as error:
        raise CommandFailed(str(error)) from error
    if as_json:
        document = {"server": server, "changes": [asdict(one) for one in changes]}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        return
    advice = advise(standing) if standing else ""
    sys.stdout.write(f"{advice or 'A worker is alive: what is due is carried out.'}\n")


def require_server(purpose: str) -> None:
    """Refuse where no server is configured: what is put on an embedded one ends with the command.

    Raises:
        CommandRefused: saying how to start one.
    """
    if configured_api_url() is None:
        raise CommandRefused(
            f"There is no Prefect server {purpose}. Start one with "
            f"`{command_path('prefect')} server start`, say where it is with "
            "`export PREFECT_API_URL=http://127.0.0.1:4200/api`, and run this again."
        )


def _tell(change: Change) -> None:
    sys.stdout.write(f"{change.kind} {change.name}: {change.outcome}\n")
    sys.stdout.flush()
