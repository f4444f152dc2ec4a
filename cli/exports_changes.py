"""What `segment-export exports` does to one export, in its file and on the server alike."""

import json
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.responses import DeploymentResponse

from cli.errors import CommandRefused
from cli.exports import read_file
from cli.naming import command_path
from cli.near_names import suggest_names
from cli.save import (
    asking_server,
    confirm,
    refusing,
    require_export_name,
    require_new_name,
)
from deployments.changes import DeploymentRefused
from deployments.export_editing import ExportFile, write_file
from deployments.export_entry import (
    clear_schedules,
    detach,
    is_export,
    list_parts,
    list_switches,
    set_active,
    set_schedule,
)
from deployments.export_file import check_text
from deployments.schedules import DEFAULT_SLUG, describe_schedule, make_schedule
from deployments.server_exports import (
    detach_export,
    find_schedule,
    put_schedule,
    read_exports_on_server,
    read_switches,
    read_triggers,
    remove_export,
    remove_schedules,
    set_export_active,
)

FileChange = Callable[[ExportFile, str], None]  # of the entry with this entrypoint
Entry = Mapping[str, Any]
ServerChange = Callable[[SyncPrefectClient, DeploymentResponse], None]


def set_export_pause(name: str, file: Path, *, active: bool, as_json: bool) -> None:
    """Pause or resume what starts an export by itself; it can be run by hand all the same."""
    is_known = False  # to the server, once this is done

    def settle(entry: Entry | None, export: DeploymentResponse | None) -> str:
        nonlocal is_known
        is_known = export is not None
        starts = entry is None or entry.get("schedules") or entry.get("triggers")
        if not (starts or (export and export.schedules)):
            raise CommandRefused(
                f"{name} has neither schedule nor trigger: it runs only when asked, and there is "
                "nothing to pause or resume."
            )
        if active:
            return f"{name} runs by itself again."
        return f"{name} is paused: nothing starts it by itself, and it can still be run by hand."

    change_export(
        name,
        file,
        lambda opened, at: opened.change(
            name, at, lambda entry: set_active(entry, active=active, is_known=is_known)
        ),
        lambda client, export: set_export_active(client, export, active=active),
        settle=settle,
        as_json=as_json,
    )


def schedule_export(
    name: str, file: Path, *, spec: dict[str, str], clear: bool, as_json: bool
) -> None:
    """Give an export a schedule, or take all of them away."""
    if clear:
        if any(spec.values()):
            raise CommandRefused("--clear takes all schedules away; give it alone.")
        change_export(
            name,
            file,
            lambda opened, at: opened.change(name, at, clear_schedules),
            remove_schedules,
            settle=lambda _entry, _export: f"{name} has no schedule any more.",
            as_json=as_json,
        )
        return
    with refusing():
        schedule = make_schedule(**spec)
    is_unnamed = not spec["slug"]

    def settle(entry: Entry | None, export: DeploymentResponse | None) -> str:
        if is_unnamed:
            schedule["slug"] = _choose_slug(name, entry, export)
        if not spec["timezone"]:
            schedule["timezone"] = _zone_of(schedule, entry, export, or_unnamed=is_unnamed)
        if _is_off(schedule["slug"], entry, export, or_unnamed=is_unnamed):
            schedule["active"] = False
        return _phrase_schedule(name, schedule)

    change_export(
        name,
        file,
        lambda opened, at: opened.change(name, at, lambda entry: set_schedule(entry, schedule)),
        lambda client, export: put_schedule(client, export, schedule, or_unnamed=is_unnamed),
        settle=settle,
        as_json=as_json,
    )


def _choose_slug(name: str, entry: Entry | None, export: DeploymentResponse | None) -> str:
    """Find which schedule is meant where there is but one; one of Prefect's UI has no slug."""
    written = list_parts(entry or {}, "schedules")
    in_file = [str(one.get("slug") or DEFAULT_SLUG) for one in written]
    on_server = [one.slug for one in export.schedules] if export else []
    slugs = list(dict.fromkeys([*in_file, *filter(None, on_server)]))
    unnamed = on_server.count(None)
    if len(slugs) > 1 or (unnamed and len(on_server) > 1):
        known = [*slugs, *([f"{unnamed} of Prefect's UI without a slug"] if unnamed else [])]
        raise CommandRefused(
            f"{name} has several schedules: say with --slug which is to change "
            f"({', '.join(known)}), or give a new slug to add one."
        )
    return slugs[0] if slugs else DEFAULT_SLUG


def _zone_of(
    schedule: Mapping[str, Any],
    entry: Entry | None,
    export: DeploymentResponse | None,
    *,
    or_unnamed: bool,
) -> str:
    """Find the time zone of the schedule that is changed; nobody means to move it by silence."""
    slug = schedule["slug"]
    for one in list_parts(entry or {}, "schedules"):
        if one.get("slug") == slug and one.get("timezone"):
            return str(one["timezone"])
    found = find_schedule(export, slug, or_unnamed=or_unnamed) if export else None
    return str(getattr(found and found.schedule, "timezone", None) or schedule["timezone"])


def _is_off(
    slug: str, entry: Entry | None, export: DeploymentResponse | None, *, or_unnamed: bool
) -> bool:
    """Say whether a schedule is off: the one that it changes is, or else all others are.

    Where the file says nothing of a switch, the server's stays as it is.
    """
    written = list_parts(entry or {}, "schedules")
    in_file = [one.get("active") for one in written if one.get("slug") == slug]
    found = find_schedule(export, slug, or_unnamed=or_unnamed) if export else None
    on_server = [found.active] if found else []
    if not (in_file or on_server):
        in_file, on_server = list_switches(entry or {}), _ask_switches(export)
    said = [one for one in in_file if one is not None or not on_server]
    switches = [*said, *on_server]
    return bool(switches) and all(one is False for one in switches)


def _ask_switches(export: DeploymentResponse | None) -> list[bool]:
    if export is None:
        return []
    with asking_server() as client:
        return read_switches(export, read_triggers(client, export)) if client else []


def _phrase_schedule(name: str, schedule: dict[str, Any]) -> str:
    told = f"{name} has the schedule {schedule['slug']}: {describe_schedule(schedule)}."
    if schedule.get("active") is not False:
        return told
    resume = f"{command_path('segment-export')} exports resume {shlex.quote(name)}"
    return f"{told} It is off; `{resume}` switches on all that starts {name} by itself."


def detach_saved(name: str, file: Path, *, as_json: bool) -> None:
    """Leave an export without a connection; it does not run until it has one."""
    change_export(
        name,
        file,
        lambda opened, at: opened.change(name, at, detach),
        detach_export,
        settle=lambda _entry, _export: (
            f"{name} has no connection any more and is refused when it runs. "
            f"`{command_path('segment-export')} exports attach {shlex.quote(name)} --connection …` "
            "gives it one again."
        ),
        as_json=as_json,
    )


def remove_saved(name: str, file: Path, *, asks: bool, as_json: bool) -> None:
    """Remove an export from file and server.

    Raises:
        CommandRefused: nobody can be asked, or does not mean it.
    """
    if asks and not sys.stdin.isatty():
        raise CommandRefused(f"Nobody can be asked here: give --yes if {name} is to be removed.")
    change_export(
        name,
        file,
        lambda opened, at: opened.remove(name, at),
        remove_export,
        settle=lambda _entry, _export: (
            f"{name} is removed, with its schedules and triggers. What stays: its past runs and "
            "their reports, the connection, and everything in Constant Contact."
        ),
        question=f"Remove {name} from file and server?" if asks else "",
        as_json=as_json,
    )


def duplicate_saved(name: str, new_name: str, file: Path, *, as_json: bool) -> None:
    """Copy an export under a new name, in the file; with its schedules and triggers."""
    with refusing():
        require_export_name(new_name)

    def copy(opened: ExportFile, entrypoint: str) -> None:
        if opened.find(new_name, entrypoint) is not None:
            raise DeploymentRefused(f"There is an export {new_name} already; choose another name.")
        require_new_name(new_name, file)
        opened.duplicate(name, entrypoint, new_name)

        def settle(entry: Any) -> None:
            for trigger in list_parts(entry, "triggers"):
                if "name" in trigger:
                    trigger["name"] = f"{trigger['name']} ({new_name})"

        opened.change(new_name, entrypoint, settle)

    change_export(
        name,
        file,
        copy,
        None,
        settle=lambda _entry, _export: (
            f"{new_name} is a copy of {name}, and delivers to the same list until you change it. "
            f"Next: `{command_path('segment-export')} deploy`."
        ),
        as_json=as_json,
    )


def change_export(
    name: str,
    file: Path,
    in_file: FileChange,
    on_server: ServerChange | None,
    *,
    settle: Callable[[Entry | None, DeploymentResponse | None], str],
    question: str = "",
    as_json: bool,
) -> None:
    """Change one export wherever it is, and tell; doing it again goes on where it stopped.

    What `settle` is given is the export's entry and its deployment, as far as there are; it says
    what will have been done, or refuses.

    Raises:
        CommandRefused: there is no such export, or the file cannot be changed so.
        CommandFailed: the server does not answer.
    """
    with refusing(), asking_server() as client:
        opened = read_file(file, is_needed=client is None or on_server is None)
        entries = {one["name"]: one for one in opened.entries() if is_export(one)}
        deployed = read_exports_on_server(client) if client and on_server else {}
        if name not in {*entries, *(deployed if on_server else ())}:
            raise CommandRefused(_phrase_unknown(name, [*entries, *deployed]))
        done = settle(entries.get(name), deployed.get(name))
        if name in entries:
            in_file(opened, entries[name]["entrypoint"])
        diff = opened.diff(file.name)
        if diff and _has_exports(opened):
            check_text(opened.text, file)
        if not as_json:
            sys.stdout.write(diff)
            sys.stdout.flush()
        if question:
            confirm(question)
        if diff:
            write_file(file, opened.text, before=opened.before)
        if client and on_server and name in deployed:
            on_server(client, deployed[name])
        where = _phrase_where(
            in_file=name in entries,
            on_server=name in deployed,
            has_server=client is not None,
            acts_on_server=on_server is not None,
        )
    if as_json:
        document = {
            "export": name,
            "file": str(file),
            "diff": diff,
            "in_file": name in entries,
            "on_server": name in deployed,
            "message": f"{done}{where}",
        }
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        sys.stdout.write(f"{done}{where}\n")


def _has_exports(opened: ExportFile) -> bool:
    return bool(opened.entries())


def _phrase_where(*, in_file: bool, on_server: bool, has_server: bool, acts_on_server: bool) -> str:
    if not acts_on_server:
        return ""
    if not has_server:
        return " (In the file; no server is configured with PREFECT_API_URL.)"
    if not on_server:
        return " (In the file; it is not deployed.)"
    return "" if in_file else " (On the server; it is not in the file.)"


def _phrase_unknown(name: str, names: list[str]) -> str:
    nothing = f"None is saved; begin with `{command_path('segment-export')} save --help`."
    return f"There is no export {name}. {suggest_names(name, names) or nothing}"
