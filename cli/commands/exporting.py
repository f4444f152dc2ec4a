"""Commands that export: `run` and `plan`."""

from typing import TYPE_CHECKING

import typer

from cli.errors import CommandEnded
from cli.options import JsonOption, taking_export_options

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
