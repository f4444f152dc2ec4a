"""`segment-export data-ready`: let the exports run that wait for some data."""

import json
import re
import sys

from cli.embedded import configured_api_url
from cli.errors import CommandRefused
from cli.prefect_api import prefect_api
from cli.save import refusing
from deployments.server import prefect_server
from deployments.triggers import DATA_READY, announce_data, data_resource, find_listeners

DATA_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def tell_data_ready(data: str, *, as_json: bool) -> None:
    """Emit the event that says that data is ready, and tell who listens.

    Raises:
        CommandRefused: no server is configured, or the name is none.
        CommandFailed: the server does not answer.
    """
    require_data_name(data)
    if configured_api_url() is None:
        raise CommandRefused(
            "There is no Prefect server to tell. Say where it is with PREFECT_API_URL, for "
            "instance `export PREFECT_API_URL=http://127.0.0.1:4200/api`, and run this again."
        )
    with refusing(), prefect_api(lambda _: None), prefect_server() as client:
        announce_data(client, data)
        listeners = find_listeners(client, data)
    running = sorted(name for name, is_on in listeners.items() if is_on)
    paused = sorted(name for name, is_on in listeners.items() if not is_on)
    message = _phrase(data, running, paused)
    if as_json:
        document = {
            "data": data,
            "event": DATA_READY,
            "resource": data_resource(data),
            "exports": running,
            "paused": paused,
            "message": message,
        }
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        sys.stdout.write(f"{message}\n")


def require_data_name(data: str) -> None:
    """Refuse what cannot name data in an event.

    Raises:
        CommandRefused: naming what can.
    """
    if not DATA_NAME.fullmatch(data):
        raise CommandRefused(
            f"{data!r} is no name for data: take letters, digits, dashes, dots and underscores."
        )


def _phrase(data: str, running: list[str], paused: list[str]) -> str:
    told = f"Said that {data} is ready. "
    if running:
        told += f"These exports run: {', '.join(running)}."
    else:
        told += (
            f"No deployed export runs after it; save one with `--after {data}` and deploy it."
            if not paused
            else "No export runs."
        )
    return told + (f" Paused, and not run: {', '.join(paused)}." if paused else "")
