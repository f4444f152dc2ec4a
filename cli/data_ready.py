"""`segment-export data-ready`: let the exports run that wait for some data."""

import json
import re
import sys
from difflib import get_close_matches

from cli.embedded import configured_api_url
from cli.errors import FAILED, CommandEnded, CommandFailed, CommandRefused
from cli.prefect_api import prefect_api
from cli.save import refusing
from deployments.server import prefect_server
from deployments.triggers import DATA_READY, announce_data, data_resource, read_listeners

DATA_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def tell_data_ready(data: str, *, as_json: bool) -> None:
    """Emit the event that says that data is ready, and tell who listens.

    The event goes out whoever listens: automations of others may. That no export does is a
    failure all the same, for in the last step of a refresh it is a misspelt name.

    Raises:
        CommandRefused: no server is configured, or the name is none.
        CommandFailed: the server does not answer, or no export waits for this data.
        CommandEnded: the latter, told as JSON.
    """
    require_data_name(data)
    if configured_api_url() is None:
        raise CommandRefused(
            "There is no Prefect server to tell. Say where it is with PREFECT_API_URL, for "
            "instance `export PREFECT_API_URL=http://127.0.0.1:4200/api`, and run this again."
        )
    with refusing(), prefect_api(lambda _: None), prefect_server() as client:
        announce_data(client, data)
        listeners = read_listeners(client)
    waiting = [one for one in listeners if one.waits_for(data)]
    running = sorted({one.export for one in waiting if one.is_on})
    paused = sorted({one.export for one in waiting} - set(running))
    waited_for = sorted({name for one in listeners for name in one.data})
    message = _phrase(data, running, paused) if waiting else _phrase_unknown(data, waited_for)
    if as_json:
        document = {
            "data": data,
            "event": DATA_READY,
            "resource": data_resource(data),
            "exports": running,
            "paused": paused,
            "waited_for": waited_for,
            "message": message,
        }
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        if not waiting:
            raise CommandEnded(FAILED)
        return
    if not waiting:
        raise CommandFailed(message)
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
    told += f"These exports run: {', '.join(running)}." if running else "No export runs."
    return told + (f" Paused, and not run: {', '.join(paused)}." if paused else "")


def _phrase_unknown(data: str, waited_for: list[str]) -> str:
    told = f"Said that {data} is ready, and no deployed export waits for it."
    if not waited_for:
        return f"{told} None waits for any data: save one with `--after {data}`, and deploy it."
    near = get_close_matches(data, waited_for)
    asked = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"{told}{asked} What exports wait for: {', '.join(waited_for)}."
