"""`segment-export save`: write an export into prefect.yaml, after checking that it would work."""

import asyncio
import json
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient

from cli.embedded import configured_api_url
from cli.errors import CommandFailed, CommandRefused
from cli.naming import command_path
from cli.prefect_api import prefect_api
from cli.printing import say
from deployments.changes import DeploymentFailed, DeploymentRefused
from deployments.export_editing import ExportFile, open_file, write_file
from deployments.export_entry import Saving, is_export, is_off, keep_off, make_entry
from deployments.export_file import check_text
from deployments.server import prefect_server
from deployments.server_exports import read_exports_on_server
from pipeline import check_coming_source
from schemas.export import ExportRequest
from tasks.connection import open_client
from tasks.destination import Destination, find_destination
from tasks.session import new_session
from tasks.stops import EXPORT_ERRORS, explain_stop

# What names of deployments, of work and of files have in common.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,99}")
_SHARED_PARTS = ("concurrency_limit", "work_pool")


def save_export(
    saving: Saving, file: Path, *, replace: bool, dry_run: bool, asks: bool, as_json: bool
) -> None:
    """Check an export, show what its file would become, and write that.

    Raises:
        CommandRefused: a run would be refused, or the file cannot take it; nothing was written.
        CommandFailed: it could not be checked, as something does not answer.
    """
    if not saving.request.connection:
        raise CommandRefused(
            "--connection: an export is saved with the connection it goes through."
        )
    with refusing():
        opened = edit_file(saving, file, replace=replace)
        if not replace:
            require_new_name(saving.name, file)
    destination, unchecked = check_export(saving, file.absolute().parent)
    diff = opened.diff(file.name)
    if not as_json:
        sys.stdout.write(diff)
    if diff and not dry_run:
        if asks:
            confirm(f"Write this to {file}?")
        with refusing():
            write_file(file, opened.text, before=opened.before)
    message = _phrase(saving, file, destination, is_changed=bool(diff), dry_run=dry_run)
    if any(is_off(one) for one in opened.entries() if one.get("name") == saving.name):
        resume = f"{command_path('segment-export')} exports resume {shlex.quote(saving.name)}"
        message += f"\nIt stays paused: nothing starts it by itself until `{resume}`."
    if unchecked:
        message += f"\n{unchecked}"
    if as_json:
        document = {
            "export": saving.name,
            "file": str(file),
            "changed": bool(diff),
            "written": bool(diff) and not dry_run,
            "diff": diff,
            "list_id": destination.list_id,
            "list_name": destination.list_name,
            "unchecked": unchecked,
            "message": message,
        }
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        return
    sys.stdout.write(f"{message}\n")


def edit_file(saving: Saving, file: Path, *, replace: bool) -> ExportFile:
    """Put an export into the text of its file, which is not written yet.

    Raises:
        DeploymentRefused: there is one of that name, or the file makes no sense.
    """
    require_export_name(saving.name)
    folder = file.absolute().parent
    if not folder.is_dir():
        raise DeploymentRefused(f"There is no folder {folder}; make it first.")
    opened = open_file(file, may_be_new=True)
    entry = make_entry(saving, folder)
    existing = [one for one in opened.entries() if one.get("name") == saving.name]
    exports = [one for one in existing if is_export(one)]
    if exports and not replace:
        raise DeploymentRefused(
            f"{file.name} has an export {saving.name} already: give --replace to put this one in "
            "its place, or choose another name."
        )
    if exports:
        entry["entrypoint"] = exports[0]["entrypoint"]
        keep_off(entry, exports[0])
    opened.save(entry, sharing=_SHARED_PARTS)
    check_text(opened.text, file)
    return opened


def require_export_name(name: str) -> None:
    """Refuse what cannot name an export.

    Raises:
        DeploymentRefused: naming what can.
    """
    if not _NAME.fullmatch(name):
        raise DeploymentRefused(
            f"{name!r} is no name for an export: take letters, digits, spaces, dashes, dots and "
            "underscores."
        )


def require_new_name(name: str, file: Path) -> None:
    """Refuse a name that another's export has on the configured server, if there is one.

    Raises:
        DeploymentRefused: the next `deploy` would overwrite that.
    """
    with asking_server() as client:
        if client and name in read_exports_on_server(client):
            raise DeploymentRefused(
                f"The Prefect server at {configured_api_url()} has an export {name} that "
                f"{file.name} has not, and `{command_path('segment-export')} deploy` would "
                "overwrite it. Choose another name; if it is yours, `save` it with --replace."
            )


def check_export(saving: Saving, folder: Path) -> tuple[Destination, str]:
    """Check source, columns, segments, connection, list and custom fields; nothing is sent.

    Returns where it would deliver to, and what of its source could not be checked, if anything.

    Raises:
        CommandRefused: a run would be refused.
        CommandFailed: it cannot be told, as something does not answer.
    """
    request = saving.request
    try:
        with chdir(folder):
            trouble = check_coming_source(request)
        if trouble and not request.as_of and (saving.schedule or saving.trigger):
            raise CommandRefused(
                "--as-of: a path holds {as_of}, and this export runs by itself: say --as-of today "
                "or yesterday. Nothing was saved."
            )
        with prefect_api(say):
            destination = asyncio.run(ask_destination(request))
    except EXPORT_ERRORS as error:
        stop = explain_stop(error)
        refusal = CommandRefused if stop.is_refusal else CommandFailed
        raise refusal(f"{stop.reason} Nothing was saved.") from error
    return destination, _phrase_unchecked(request, trouble)


def _phrase_unchecked(request: ExportRequest, trouble: str) -> str:
    if not trouble:
        return ""
    if request.as_of:
        return (
            "Not checked: columns and segments, as the snapshot is not there yet. "
            f"{trouble} Its first run checks them."
        )
    return (
        "Not checked: columns and segments, as a path holds {as_of} and no date is given. It runs "
        "by `backfill`; to run it in any other way, save it with --as-of today or yesterday."
    )


async def ask_destination(request: ExportRequest) -> Destination:
    """Ask Constant Contact where an export would deliver to; nothing is sent."""
    with new_session(request) as session:
        async with open_client(session):
            return await find_destination(session)


@contextmanager
def asking_server() -> Iterator[SyncPrefectClient | None]:
    """Give a client of the configured server; None where there is none."""
    if configured_api_url() is None:
        yield None
        return
    with prefect_api(lambda _: None), prefect_server() as client:
        yield client


@contextmanager
def refusing() -> Iterator[None]:
    """Turn what a file or a server refuses into what the command line says."""
    try:
        yield
    except DeploymentRefused as error:
        raise CommandRefused(str(error)) from error
    except DeploymentFailed as error:
        raise CommandFailed(str(error)) from error


def confirm(question: str) -> None:
    """Ask a person; whoever cannot be asked has to say --yes.

    Raises:
        CommandRefused: the answer is no.
    """
    import typer

    if not sys.stdin.isatty():
        raise CommandRefused(f"{question} Nobody can be asked here: give --yes if it is meant.")
    if not typer.confirm(question, err=True):
        raise CommandRefused("Nothing was changed.")


def _phrase(
    saving: Saving, file: Path, destination: Destination, *, is_changed: bool, dry_run: bool
) -> str:
    goes_to = f"It would deliver to list “{destination.list_name}”."
    if not is_changed:
        return f"{file} has {saving.name} just like that. {goes_to}"
    if dry_run:
        return f"Checked {saving.name}, and wrote nothing (--dry-run). {goes_to}"
    return (
        f"Saved {saving.name} in {file}. {goes_to} Nothing runs yet.\n"
        f"Next: `{command_path('segment-export')} deploy` puts it on your Prefect server."
    )
