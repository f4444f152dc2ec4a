"""`segment-export exports`: the saved exports of the file and of the server, side by side."""

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.responses import DeploymentResponse
from rich.table import Table

from cli.embedded import configured_api_url
from cli.naming import command_path
from cli.printing import print_table
from cli.save import asking_server, refusing
from cli.work_pools import advise
from deployments.export_editing import ExportFile, open_file
from deployments.export_entry import is_export, list_parts, list_switches
from deployments.schedules import describe_schedule
from deployments.server_exports import (
    LastRun,
    is_paused,
    read_exports_on_server,
    read_last_run,
    read_next_run,
    read_triggers,
)
from deployments.triggers import describe_automation, describe_trigger
from deployments.work_pool import PoolStanding, read_standing


@dataclass(frozen=True, slots=True)
class Listed:
    """A saved export as it is told."""

    name: str
    in_file: bool
    on_server: bool | None
    connection: str = ""
    list_id: str = ""
    runs: list[str] = field(default_factory=list)
    paused: bool = False
    last_run: LastRun | None = None
    next_run: datetime | None = None

    @property
    def remark(self) -> str:
        """Say what is odd about it."""
        remarks = []
        if self.on_server is False:
            remarks.append("not deployed")
        if not self.in_file:
            remarks.append("not in the file")
        if self.paused:
            remarks.append("paused")
        if not self.connection:
            remarks.append("no connection")
        return ", ".join(remarks)


def show_exports(file: Path, *, as_json: bool) -> None:
    """List the saved exports with how they run and how they last came out.

    Raises:
        CommandRefused: the file makes no sense, or there is neither file nor server.
        CommandFailed: the server does not answer.
    """
    with refusing(), asking_server() as client:
        opened = read_file(file, is_needed=client is None)
        entries = {one["name"]: one for one in opened.entries() if is_export(one)}
        deployed = read_exports_on_server(client) if client else {}
        pools = _read_pools(client, deployed.values()) if client else []
        listed = [
            _list_one(name, entries.get(name), deployed.get(name), client)
            for name in [*entries, *sorted(set(deployed) - set(entries))]
        ]
    if as_json:
        document = {
            "exports": [asdict(one) for one in listed],
            "work_pools": [asdict(one) for one in pools],
            "server": configured_api_url(),
        }
        sys.stdout.write(json.dumps(document, indent=2, default=datetime.isoformat) + "\n")
        return
    if client is None:
        sys.stderr.write(
            "No Prefect server is configured (PREFECT_API_URL): this is what the file says.\n"
        )
    if not listed:
        sys.stdout.write(f"No exports are saved. Begin with `{_command()} save --help`.\n")
        return
    print_table(_tabulate(listed))
    for advice in filter(None, map(advise, pools)):
        sys.stdout.write(f"{advice}\n")
    if client is not None and not file.exists():
        sys.stdout.write(f"There is no {file} here: name the file of exports with --file.\n")
    if any(one.on_server is False for one in listed):
        sys.stdout.write(f"`{_command()} deploy` puts the exports of the file on the server.\n")


def read_file(file: Path, *, is_needed: bool) -> ExportFile:
    """Read the file of exports; an empty one where it is not needed.

    Raises:
        DeploymentRefused: it is missing, or makes no sense.
    """
    if not is_needed and not file.exists():
        return ExportFile("deployments:\n")
    return open_file(file)


def _read_pools(
    client: SyncPrefectClient, deployed: Iterable[DeploymentResponse]
) -> list[PoolStanding]:
    """Read how the work pools of exports stand."""
    names = sorted({one.work_pool_name for one in deployed if one.work_pool_name})
    return [standing for name in names if (standing := read_standing(client, name))]


def _list_one(
    name: str,
    entry: dict[str, Any] | None,
    deployed: DeploymentResponse | None,
    client: SyncPrefectClient | None,
) -> Listed:
    if client is None or deployed is None:
        return _list_entry(name, entry or {}, is_asked=client is not None)
    triggers = read_triggers(client, deployed)
    request = _as_dict((deployed.parameters or {}).get("request"))
    return Listed(
        name=name,
        in_file=entry is not None,
        on_server=True,
        connection=str(request.get("connection", "")),
        list_id=str(request.get("list_id", "")),
        runs=[
            describe_schedule({**one.schedule.model_dump(), "active": one.active})
            for one in deployed.schedules
        ]
        + [_mark(describe_automation(one), is_on=one.enabled) for one in triggers],
        paused=is_paused(deployed, triggers),
        last_run=read_last_run(client, deployed),
        next_run=read_next_run(client, deployed),
    )


def _list_entry(name: str, entry: dict[str, Any], *, is_asked: bool) -> Listed:
    request = _as_dict(_as_dict(entry.get("parameters")).get("request"))
    schedules, triggers = list_parts(entry, "schedules"), list_parts(entry, "triggers")
    switches = list_switches(entry)
    return Listed(
        name=name,
        in_file=True,
        on_server=False if is_asked else None,
        connection=str(request.get("connection", "")),
        list_id=str(request.get("list_id", "")),
        runs=[
            *map(describe_schedule, schedules),
            *(
                _mark(describe_trigger(one), is_on=one.get("enabled") is not False)
                for one in triggers
            ),
        ],
        paused=bool(switches) and all(switch is False for switch in switches),
    )


def _mark(trigger: str, *, is_on: bool) -> str:
    return trigger if is_on else f"{trigger} (off)"


def _as_dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _tabulate(listed: Iterable[Listed]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("export", "runs", "next", "last", "connection", "list", ""):
        table.add_column(heading, overflow="fold")
    for one in listed:
        table.add_row(
            one.name,
            "; ".join(one.runs) or "when asked",
            _moment(one.next_run),
            _tell_last(one.last_run),
            one.connection,
            one.list_id,
            one.remark,
        )
    return table


def _tell_last(last: LastRun | None) -> str:
    if last is None:
        return ""
    return f"{last.state} {_moment(last.at)}: {' '.join(last.message.split())}"


def _moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else ""


def _command() -> str:
    return command_path("segment-export")
