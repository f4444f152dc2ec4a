"""Commands that keep it running: `up` and `drain`."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import JsonOption
from cli.prefect_api import isolate_prefect

app = typer.Typer()
PANEL = "Operate"


@app.command(rich_help_panel=PANEL)
def up(
    folder: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Where database, logs and examples are kept (private)."),
    ] = Path("segment-export-up"),
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            show_default="4200, or the next free one",
            help="Where Prefect's UI listens on 127.0.0.1.",
        ),
    ] = None,
) -> None:
    """Bring up the whole of it on this machine: server, worker, sandbox and the saved exports.

    A Prefect server of its own with the UI, what watches over runs, the exports of prefect.yaml
    (of the current folder, else the two examples), a worker, made-up customers, and a stand-in
    Constant Contact that they go to. Stays until Ctrl-C, which stops all of it; started again it
    goes on with the same exports and history. For production see docs/guides/production.md.
    """
    isolate_prefect(folder)  # before anything imports Prefect, which reads its settings once
    from cli.up import bring_up

    bring_up(folder, port)


@app.command(rich_help_panel=PANEL)
def drain(
    pool: Annotated[str, typer.Option(help="The work pool.")] = "exports",
    timeout_minutes: Annotated[
        float, typer.Option(min=0, help="How long to wait for runs to end.")
    ] = 70,
    resume: Annotated[
        bool, typer.Option("--resume", help="Undo it: let workers take runs again.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Let the runs of a work pool end, and let none begin: before a worker is stopped.

    A worker that is stopped takes its runs with it. This pauses the pool and waits until none is
    under way; what is due meanwhile runs after `segment-export drain --resume`.

    Exit code: 0 when nothing is under way any more, 1 when something still is after the time.
    """
    from cli.drain import drain_pool, resume_pool

    if resume:
        resume_pool(pool, as_json=as_json)
    else:
        drain_pool(pool, timeout_minutes * 60, as_json=as_json)
