"""`segment-export connections`: list, test, rename and remove them."""

import asyncio
import json
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.responses import DeploymentResponse

from cli.errors import CommandFailed, CommandRefused
from cli.exports import read_file
from cli.prefect_api import prefect_api
from cli.printing import say
from cli.save import confirm, refusing
from deployments.export_editing import ExportFile, write_file
from deployments.export_entry import detach, is_export
from deployments.server_exports import detach_export, read_exports_on_server
from tasks.connection_block import connection_slug
from tasks.connection_upkeep import (
    ConnectionSummary,
    remove_connection,
    rename_connection,
    require_own,
    summarise_connections,
    try_connection,
)
from tasks.stops import EXPORT_ERRORS, explain_stop

T = TypeVar("T")


def list_connections(*, as_json: bool) -> None:
    """List every connection with who may use it and how its sign-in is."""
    with prefect_api(say):
        summaries = asyncio.run(summarise_connections(datetime.now(UTC)))
    if as_json:
        _print_json({"connections": [_describe(one) for one in summaries]})
    elif summaries:
        sys.stdout.write("\n".join(map(_tell, summaries)))
    else:
        sys.stdout.write("There is no connection yet: `segment-export connect NAME` makes one.\n")


def try_out(name: str, *, as_json: bool) -> None:
    """Ask the account of a connection whether an export would be let through.

    Raises:
        CommandRefused: it would not.
        CommandFailed: the account could not be asked.
    """
    with prefect_api(say):
        account = ask(try_connection(name))
    slug = connection_slug(name)
    if as_json:
        _print_json(
            {
                "connection": slug,
                "works": True,
                "account_id": account.encoded_account_id,
                "account_name": account.organization_name,
            }
        )
        return
    called = account.organization_name or "an account without a name"
    sys.stdout.write(
        f"✓ “{slug}” works: it reaches {called} ({account.encoded_account_id}), and "
        "may import contacts.\n"
    )


def rename(name: str, new_name: str, *, file: Path, as_json: bool) -> None:
    """Rename a connection that no saved export names.

    Raises:
        CommandRefused: there is none of that name, or it is in use.
    """
    new_slug = connection_slug(new_name)
    if not new_slug:
        raise CommandRefused(f"The name {new_name!r} holds no letter or digit; choose another.")
    with refusing(), prefect_api(say), get_client(sync_client=True) as client:
        ask(require_own(name))
        if used_by := _Exports.read(client, file).naming(name):
            raise CommandRefused(
                f"Saved exports use “{name}”: {', '.join(used_by)}. Give them another connection "
                "first, or connect again under the new name."
            )
        ask(rename_connection(name, new_name))
    done = f"“{connection_slug(name)}” is called “{new_slug}” now."
    _finish({"connection": new_slug, "message": done}, done, as_json=as_json)


def remove(name: str, *, detaches: bool, file: Path, asks: bool, as_json: bool) -> None:
    """Remove a connection with its tokens.

    Raises:
        CommandRefused: saved exports use it, or the person does not want it after all.
    """
    slug = connection_slug(name)
    with refusing(), prefect_api(say), get_client(sync_client=True) as client:
        ask(require_own(name))  # before anything is detached
        exports = _Exports.read(client, file)
        used_by = exports.naming(name)
        if used_by and not detaches:
            raise CommandRefused(
                f"Saved exports use “{slug}”: {', '.join(used_by)}. Give them another connection "
                "first (`segment-export exports attach`), or take it away from them with --detach: "
                "they are refused then until they have one."
            )
        if asks:
            consequence = f" These exports lose it: {', '.join(used_by)}." if used_by else ""
            confirm(f"Remove the connection “{slug}” and its sign-in?{consequence}")
        exports.detach(client, name)
        ask(remove_connection(name))
    done = f"“{slug}” is removed, with its tokens." + (
        f" Without a connection now, and refused when they run: {', '.join(used_by)}. "
        "`segment-export exports attach EXPORT --connection NAME` gives one another."
        if used_by
        else ""
    )
    document = {"connection": slug, "detached": used_by, "message": done}
    _finish(document, done, as_json=as_json)


class _Exports:
    """The saved exports of the server and of a file."""

    def __init__(self, deployed: dict[str, DeploymentResponse], file: Path) -> None:
        self._deployed = deployed
        self._file = file
        self._opened: ExportFile = read_file(file, is_needed=False)
        self._entries = {one["name"]: one for one in self._opened.entries() if is_export(one)}

    @classmethod
    def read(cls, client: SyncPrefectClient, file: Path) -> "_Exports":
        return cls(read_exports_on_server(client), file)

    def naming(self, name: str) -> list[str]:
        """Name the exports that go through a connection, here or there, sorted."""
        return sorted(set(self._in_file(name)) | set(self._on_server(name)))

    def detach(self, client: SyncPrefectClient, name: str) -> None:
        """Take a connection away from exports, in the file first: it can still be refused."""
        for one in self._in_file(name):
            self._opened.change(one, self._entries[one]["entrypoint"], detach)
        if self._opened.diff(self._file.name):
            write_file(self._file, self._opened.text, before=self._opened.before)
        for one in self._on_server(name):
            detach_export(client, self._deployed[one])

    def _in_file(self, name: str) -> list[str]:
        slug = connection_slug(name)
        return [one for one, entry in self._entries.items() if _names(entry, slug)]

    def _on_server(self, name: str) -> list[str]:
        slug = connection_slug(name)
        found = []
        for one, deployment in self._deployed.items():
            by_schedule = (schedule.parameters for schedule in deployment.schedules)
            if any(_names({"parameters": p}, slug) for p in (deployment.parameters, *by_schedule)):
                found.append(one)
        return found


def _names(entry: Any, slug: str) -> bool:
    for key in ("parameters", "request", "connection"):
        entry = entry.get(key) if isinstance(entry, dict) else None
    return isinstance(entry, str) and bool(entry) and connection_slug(entry) == slug


def ask(work: Coroutine[Any, Any, T]) -> T:
    """Do something with a connection, in the command line's words when it goes wrong.

    Raises:
        CommandRefused: it is refused.
        CommandFailed: something does not answer.
    """
    try:
        return asyncio.run(work)
    except EXPORT_ERRORS as error:
        stop = explain_stop(error)
        raise (CommandRefused if stop.is_refusal else CommandFailed)(stop.reason) from error


def _tell(one: ConnectionSummary) -> str:
    """Tell of one connection in a few lines."""
    connection, use = one.connection, one.last_use
    is_named = connection.display_name in {"", one.name}
    title = one.name if is_named else f"{one.name} ({connection.display_name})"
    account = connection.account_name or "an account that is not known yet"
    number = f" ({connection.account_id})" if connection.account_id else ""
    used = f"{use.at:%Y-%m-%d %H:%M} UTC, by {use.by or 'somebody'}" if use.at else "not known"
    place = "in an encrypted file" if connection.vault == "file" else "in Prefect"
    return (
        f"{title} → {account}{number}\n"
        f"  who may use it  {', '.join(connection.may_use)}\n"
        f"  last used       {used}\n"
        f"  sign-in         {one.advice}\n"
        f"  tokens kept     {place}\n"
    )


def _describe(one: ConnectionSummary) -> dict[str, Any]:
    connection, record = one.connection, one.sign_in
    return {
        "name": one.name,
        "display_name": connection.display_name,
        "account_id": connection.account_id,
        "account_name": connection.account_name,
        "may_use": connection.may_use,
        "administrators": one.administrators,
        "last_used_at": one.last_use.at.isoformat() if one.last_use.at else None,
        "last_used_by": one.last_use.by or None,
        "sign_in": {
            "state": one.health,
            "advice": one.advice,
            "renewed_at": record.renewed_at or None,
            "lapses_at": record.lapses_at.isoformat() if record.lapses_at else None,
            "refused_at": record.refused_at or None,
        },
        "vault": connection.vault,
        "vault_file": connection.vault_file or None,
        "contact_allowance": connection.contact_allowance,
        "daily_requests": connection.daily_requests,
    }


def _finish(document: dict[str, Any], done: str, *, as_json: bool) -> None:
    if as_json:
        _print_json(document)
    else:
        sys.stdout.write(f"{done}\n")


def _print_json(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document, indent=2) + "\n")
