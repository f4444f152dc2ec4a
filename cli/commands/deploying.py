"""Commands that put things on a Prefect server: `deploy`."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import JsonOption

app = typer.Typer()
PANEL = "Operate"


@app.command(rich_help_panel=PANEL)
def deploy(
    file: Annotated[
        Path, typer.Option(metavar="FILE", help="The file that holds the saved exports.")
    ] = Path("prefect.yaml"),
    as_json: JsonOption = False,
) -> None:
    """Put the saved exports of prefect.yaml on your Prefect server, with all that they need.

    That is the work pool `exports`, the exports themselves, and two automations that mark a run
    Crashed when its process is gone. It tells what was created, updated or left unchanged; doing
    it again changes nothing. Saving an export runs nothing.

    Needs a server: `prefect server start` in another terminal, and
    `export PREFECT_API_URL=http://127.0.0.1:4200/api` here.
    """
    from cli.deploy import deploy_exports

    deploy_exports(file, as_json=as_json)
