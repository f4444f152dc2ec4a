"""The connection of `segment-export up`: to a sandbox that forgets everything when it stops."""

import asyncio
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient

import sandbox
from cli.connect import ConnectionForm, fill_in, save_and_check
from cli.sandbox import write_secrets
from tasks.connection import list_connections, load_connection

CONNECTION = "sandbox"
LIST_NAME = "Sandbox list"  # the first list of that name has the ID that the examples give

SNAPSHOT_MARK = "segment-export-newest"  # how Prefect variables begin that name a list's snapshot


def forget_snapshots(client: SyncPrefectClient, list_id: str) -> None:
    """Forget which snapshots a list has got, for it is empty again."""
    named = {"name": {"like_": f"{SNAPSHOT_MARK}-{list_id.lower()}"}}
    for mark in client.request("POST", "/variables/filter", json={"variables": named}).json():
        client.delete_variable_by_name(mark["name"])


def connect_sandbox(box: sandbox.Box, folder: Path) -> str:
    """Sign in to the sandbox anew, as it knows no earlier tokens; tell what became of it."""
    outcome = asyncio.run(_find_out())
    if outcome == "unchanged":
        return "unchanged, it is to another account"
    place = write_secrets(box, folder / "sandbox", {})
    form = ConnectionForm(
        name=CONNECTION,
        client_id=box.client_id,
        client_secret_file=Path(place.client_secret_file),
        refresh_token_file=Path(place.refresh_token_file),
        api_url=box.api_url,
        auth_url=box.auth_url,
        display_name="Sandbox",
        accepts_data_privacy=True,
    )
    asyncio.run(save_and_check(CONNECTION, fill_in(form)))
    return outcome


async def _find_out() -> str:
    if CONNECTION not in await list_connections():
        return "created"
    saved = await load_connection(CONNECTION)
    is_sandbox = saved.api_url.startswith("http://127.0.0.1:")
    return "unchanged, signed in anew" if is_sandbox else "unchanged"
