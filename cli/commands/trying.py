"""Commands to try it all without an account: `demo` and `sandbox`."""

from pathlib import Path
from typing import Annotated

import typer

from cli.errors import CommandEnded
from cli.options import JsonOption
from cli.prefect_api import isolate_prefect

app = typer.Typer()
PANEL = "Try it"


@app.command(rich_help_panel=PANEL)
def demo(
    profiles: Annotated[
        int, typer.Option(min=1, max=5_000_000, help="How many profiles to make up.")
    ] = 100_000,
    folder: Annotated[
        Path, typer.Option(metavar="DIR", help="Where data and report are kept to look at.")
    ] = Path("segment-export-demo"),
    as_json: JsonOption = False,
) -> None:
    """Show a whole export on made-up customers, into a stand-in Constant Contact; needs nothing."""
    isolate_prefect(folder)  # before anything imports Prefect, which reads its settings once
    from cli.demo import run_demo

    raise CommandEnded(run_demo(profiles, folder, as_json=as_json))


@app.command(rich_help_panel=PANEL)
def sandbox(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where to listen on 127.0.0.1; 0 picks one.")
    ] = 8080,
    folder: Annotated[
        Path, typer.Option(metavar="DIR", help="Where the sandbox's secrets are put (private).")
    ] = Path("segment-export-sandbox"),
    contact_list: Annotated[
        list[str] | None,
        typer.Option("--list", metavar="NAME", help="A contact list to create; may be repeated."),
    ] = None,
    custom_field: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL", help="A custom field to create; may be repeated."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Serve a stand-in Constant Contact on this machine, to try exports without an account.

    It is as strict as the published contract, keeps everything in memory, and is driven from
    outside under /sandbox (faults, requests, what a list holds).
    """
    from cli.sandbox import serve_sandbox

    serve_sandbox(
        port=port,
        folder=folder,
        lists=contact_list or ["Sandbox list"],
        custom_fields=custom_field or [],
        as_json=as_json,
    )
