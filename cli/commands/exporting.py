"""Commands that export: `run`, `plan` and `backfill`."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.errors import CommandEnded
from cli.options import JsonOption, taking_export_options, taking_saved_or_given_export

if TYPE_CHECKING:
    from schemas.export import ExportRequest

app = typer.Typer()
PANEL = "Export"


@app.command(rich_help_panel=PANEL)
@taking_export_options
def run(request: "ExportRequest", as_json: JsonOption = False) -> None:
    """Deliver the members of segments to a contact list, now.

    Running the same command again after an interruption continues where it stopped; a delivery
    that is complete is not repeated unless --again is given.

    Example: `segment-export run --connection acme --list-id 7a1f… --profiles profiles.parquet
    --memberships memberships.parquet --segment Loyalty_High --email EMail
    --first-name FirstName --last-name LastName`
    """
    from cli.run import run_export

    raise CommandEnded(run_export(request, as_json=as_json))


@app.command(rich_help_panel=PANEL)
@taking_export_options
def plan(request: "ExportRequest", as_json: JsonOption = False) -> None:
    """Tell what `run` would do with the same options, and send nothing.

    Counts by verdict, batches, requests against the day's quota, time against the window. With
    --report-dir the lists of rejected and amended profiles are written, to look at beforehand.

    Exit code: 0 when all would be delivered, or is already; 1 when it would not be done within
    the window; 2 when it would be refused.
    """
    from cli.plan import show_plan

    raise CommandEnded(show_plan(request, as_json=as_json))


@app.command(rich_help_panel=PANEL)
@taking_saved_or_given_export
def backfill(
    request: "ExportRequest | None",
    first_date: Annotated[
        str, typer.Option("--from", metavar="DATE", help="The oldest snapshot: YYYY-MM-DD.")
    ] = "",
    last_date: Annotated[
        str, typer.Option("--to", metavar="DATE", help="The newest snapshot, delivered too.")
    ] = "",
    every: Annotated[
        Literal["day", "week", "month"], typer.Option(help="How far the snapshots are apart.")
    ] = "day",
    export: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="A saved export: its settings, and its runs where there is a "
            "Prefect server. Takes the place of the options that describe an export.",
        ),
    ] = "",
    plan_only: Annotated[
        bool, typer.Option("--plan", help="Show what would be done, and send nothing.")
    ] = False,
    status_only: Annotated[
        bool,
        typer.Option("--status", help="Show where each snapshot stands, and do nothing."),
    ] = False,
    keep_going: Annotated[
        bool,
        typer.Option("--keep-going", help="Go on after a snapshot that was not delivered."),
    ] = False,
    allow_missing: Annotated[
        bool,
        typer.Option("--allow-missing", help="Snapshots without files do not count against it."),
    ] = False,
    overwrite_newer: Annotated[
        bool,
        typer.Option(
            "--overwrite-newer", help="Deliver snapshots older than what the list has got."
        ),
    ] = False,
    max_runs: Annotated[
        int, typer.Option(help="A range of more snapshots than this is refused.")
    ] = 31,
    as_json: JsonOption = False,
) -> None:
    """Deliver a range of snapshots, one run each, oldest first.

    The paths of the export hold `{as_of}` or a form of it such as `{as_of:%Y/%m/%d}`. It shows its
    plan first. A snapshot without files is left out and named; one that is older than what the
    list has got is left out; after one that was not delivered it stops. Running the same command
    again goes on: what is delivered is not sent again.

    Exit code: 0 when all is delivered; 1 when something is missing or was not delivered; 2 when
    it was refused.

    Example: `segment-export backfill --export nightly-loyalty --from 2026-10-01 --to 2026-10-31`
    """
    from cli.malloc import keep_little_freed

    keep_little_freed()  # before there are threads
    from cli.backfill import BackfillOptions, run_backfill

    options = BackfillOptions(
        first_date=first_date,
        last_date=last_date,
        every=every,
        keep_going=keep_going,
        allow_missing=allow_missing,
        overwrite_newer=overwrite_newer,
        max_runs=max_runs,
        plan_only=plan_only,
        status_only=status_only,
    )
    raise CommandEnded(run_backfill(options, export=export, request=request, as_json=as_json))
