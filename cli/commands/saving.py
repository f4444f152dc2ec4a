"""Commands about saved exports: `save`, `exports` and `data-ready`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.errors import CommandRefused
from cli.options import JsonOption, taking_export_options

if TYPE_CHECKING:
    from schemas.export import ExportRequest

app = typer.Typer()
PANEL = "Saved exports"
PREFECT_YAML = Path("prefect.yaml")

FileOption = Annotated[
    Path, typer.Option(metavar="FILE", help="The file that holds the saved exports.")
]
CronOption = Annotated[str, typer.Option(help='When it runs, as cron says it: "0 2 * * *".')]
IntervalOption = Annotated[
    str,
    typer.Option(
        metavar="DURATION", help="Or every so often: 6h, 30m, 1d, or as ISO 8601 says it."
    ),
]
RRuleOption = Annotated[
    str, typer.Option("--rrule", metavar="RULE", help="Or by an iCalendar rule: FREQ=MONTHLY;….")
]
TimezoneOption = Annotated[
    str, typer.Option(metavar="ZONE", help="Of the schedule, such as Europe/London; UTC if empty.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.command(rich_help_panel=PANEL)
@taking_export_options
def save(
    request: "ExportRequest",
    export: Annotated[str, typer.Argument(metavar="EXPORT", help="What the export is called.")],
    file: FileOption = PREFECT_YAML,
    cron: CronOption = "",
    interval: IntervalOption = "",
    rrule: RRuleOption = "",
    timezone: TimezoneOption = "",
    schedule_slug: Annotated[
        str, typer.Option(metavar="NAME", help="How the schedule is told from others.")
    ] = "regular",
    after: Annotated[
        str,
        typer.Option(
            metavar="DATA",
            help="Run when `segment-export data-ready DATA` says so; beside a schedule or alone.",
        ),
    ] = "",
    after_event: Annotated[
        str,
        typer.Option(
            metavar="EVENT", help="Run after this event of Prefect's, in place of data-ready's."
        ),
    ] = "",
    overlap: Annotated[
        Literal["wait", "skip"],
        typer.Option(help="What a run does while another of this export is under way."),
    ] = "wait",
    description: Annotated[
        str, typer.Option(help="For people; made from the segments if empty.")
    ] = "",
    tag: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A further tag; may be repeated.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the place of the one with its name.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and show the change; write nothing.")
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Save an export in prefect.yaml, from the same options as `run`. Saving runs nothing.

    Connection, list, columns and segments are checked first; then it shows what the file would
    become and, on a terminal, asks. Relative paths are read from the folder of the file, for runs
    start there.

    Example: `segment-export save nightly-loyalty --cron "0 2 * * *" --timezone Europe/London
    --connection acme --list-id 7a1f… --profiles profiles.parquet --segments-column Segments
    --segment Loyalty_High --email EMail`
    """
    from cli.data_ready import require_data_name
    from cli.save import refusing, save_export
    from deployments.export_entry import Overlap, Saving
    from deployments.schedules import make_schedule
    from deployments.triggers import make_trigger

    if after:
        require_data_name(after)
    schedule = None
    if cron or interval or rrule:
        with refusing():
            schedule = make_schedule(
                cron=cron, interval=interval, rrule=rrule, timezone=timezone, slug=schedule_slug
            )
    elif timezone:
        raise CommandRefused("--timezone: there is no schedule that it could be of; add --cron.")
    has_trigger = bool(after or after_event)
    saving = Saving(
        name=export,
        request=request,
        schedule=schedule,
        trigger=make_trigger(export, data=after, event=after_event) if has_trigger else None,
        overlap=Overlap(overlap),
        description=description,
        tags=tuple(tag or ()),
    )
    asks = not (yes or as_json or dry_run) and sys.stdin.isatty()
    save_export(saving, file, replace=replace, dry_run=dry_run, asks=asks, as_json=as_json)


@app.command("data-ready", rich_help_panel=PANEL)
def data_ready(
    data: Annotated[str, typer.Argument(metavar="DATA", help="What the data is called.")],
    as_json: JsonOption = False,
) -> None:
    """Say that data is ready: the exports that were saved with `--after DATA` run.

    For the last step of whatever refreshes the data. It emits the event
    `segment-export.data-ready` about the resource `segment-export.data.DATA`; anything that can
    send Prefect events can do so itself.

    Exit code: 0 when an export waits for this data, be it paused; 1 when none does, though the
    event has gone out: the name may be misspelt, or the export not deployed.
    """
    from cli.data_ready import tell_data_ready

    tell_data_ready(data, as_json=as_json)


exports = typer.Typer(invoke_without_command=True, no_args_is_help=False)
app.add_typer(exports, name="exports", rich_help_panel=PANEL)
NameArgument = Annotated[str, typer.Argument(metavar="EXPORT", help="What the export is called.")]


@exports.callback()
def list_exports(
    context: typer.Context, file: FileOption = PREFECT_YAML, as_json: JsonOption = False
) -> None:
    """List the saved exports: how they run, how they last came out, where they go.

    What the file holds and what is on the server, side by side. The commands below change one
    export in both, and show the change of the file.
    """
    if context.invoked_subcommand is not None:
        return
    from cli.exports import show_exports

    show_exports(file, as_json=as_json)


@exports.command("duplicate")
def duplicate_export(
    export: NameArgument,
    new: Annotated[str, typer.Argument(help="What the copy is called.")],
    file: FileOption = PREFECT_YAML,
    as_json: JsonOption = False,
) -> None:
    """Copy an export in the file under another name, to change it there and deploy it."""
    from cli.exports_changes import duplicate_saved

    duplicate_saved(export, new, file, as_json=as_json)


@exports.command("pause")
def pause_export(
    export: NameArgument, file: FileOption = PREFECT_YAML, as_json: JsonOption = False
) -> None:
    """Let nothing start an export by itself: neither schedule nor data that is ready."""
    from cli.exports_changes import set_export_pause

    set_export_pause(export, file, active=False, as_json=as_json)


@exports.command("resume")
def resume_export(
    export: NameArgument, file: FileOption = PREFECT_YAML, as_json: JsonOption = False
) -> None:
    """Let schedule and ready data start an export again."""
    from cli.exports_changes import set_export_pause

    set_export_pause(export, file, active=True, as_json=as_json)


@exports.command("schedule")
def schedule_export_command(
    export: NameArgument,
    cron: CronOption = "",
    interval: IntervalOption = "",
    rrule: RRuleOption = "",
    timezone: Annotated[
        str,
        typer.Option(
            metavar="ZONE",
            help="Of the schedule, such as Europe/London; if empty, the one it had, or UTC.",
        ),
    ] = "",
    slug: Annotated[
        str, typer.Option(metavar="NAME", help="Which of several schedules, or a new one.")
    ] = "",
    clear: Annotated[bool, typer.Option("--clear", help="Take all schedules away.")] = False,
    file: FileOption = PREFECT_YAML,
    as_json: JsonOption = False,
) -> None:
    """Give an export a schedule, in the place of the one it has, or take all away."""
    from cli.exports_changes import schedule_export

    spec = {"cron": cron, "interval": interval, "rrule": rrule, "timezone": timezone, "slug": slug}
    schedule_export(export, file, spec=spec, clear=clear, as_json=as_json)


@exports.command("detach")
def detach_export_command(
    export: NameArgument, file: FileOption = PREFECT_YAML, as_json: JsonOption = False
) -> None:
    """Leave an export without its connection: it is kept, and refused when it runs."""
    from cli.exports_changes import detach_saved

    detach_saved(export, file, as_json=as_json)


@exports.command("attach")
def attach_export_command(
    export: NameArgument,
    connection: Annotated[
        str, typer.Option(metavar="NAME", help="The connection that it goes through from now on.")
    ],
    file: FileOption = PREFECT_YAML,
    as_json: JsonOption = False,
) -> None:
    """Give an export a connection: again, or another. Connection and list are checked first."""
    from cli.exports_attach import attach_saved

    attach_saved(export, connection, file, as_json=as_json)


@exports.command("remove")
def remove_export_command(
    export: NameArgument,
    yes: YesOption = False,
    file: FileOption = PREFECT_YAML,
    as_json: JsonOption = False,
) -> None:
    """Remove an export from file and server; what it delivered, and its past runs, stay."""
    from cli.exports_changes import remove_saved

    remove_saved(export, file, asks=not yes, as_json=as_json)
