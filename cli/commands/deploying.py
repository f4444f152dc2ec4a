"""Commands that put things on a Prefect server: `deploy` and `notify`."""

from pathlib import Path
from typing import Annotated

import typer

from cli.errors import CommandRefused
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

    That is the work pool `exports`, the exports themselves, two automations that mark a run
    Crashed when its process is gone, and those that tell people where `notify` says how. It
    tells what was created, updated or left unchanged; doing it again changes nothing. Saving an
    export runs nothing.

    Needs a server: `prefect server start` in another terminal, and
    `export PREFECT_API_URL=http://127.0.0.1:4200/api` here.
    """
    from cli.deploy import deploy_exports

    deploy_exports(file, as_json=as_json)


@app.command(rich_help_panel=PANEL)
def notify(
    webhook_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Holds the address that gets a JSON object by POST."),
    ] = None,
    slack_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Holds the address of a Slack incoming webhook."),
    ] = None,
    email_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Holds a mail server's address for Apprise: "
            "mailtos://user:password@smtp.example.com?from=…&to=….",
        ),
    ] = None,
    test: Annotated[
        bool, typer.Option("--test", help="Send a test message; with a FILE before it is saved.")
    ] = False,
    off: Annotated[bool, typer.Option("--off", help="Tell nobody any more.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say who is told when an export fails, is degraded, or has recovered.

    Addresses hold secrets, so they are read from a file; `-` is standard input. One channel at a
    time: another takes its place. The messages say which export it is, what came of it, where to
    look and what to do; they hold no personal data. Prefect's server sends them.
    """
    given = {"webhook": webhook_file, "slack": slack_file, "email": email_file}
    channels = [(name, file) for name, file in given.items() if file is not None]
    if len(channels) + off > 1 or (off and test) or not (channels or off or test):
        raise CommandRefused(
            "Give one of --webhook-file, --slack-file, --email-file, --off, or --test alone."
        )
    from cli.notify import set_notifications, stop_notifications, try_notifications

    if off:
        stop_notifications(as_json=as_json)
    elif channels:
        set_notifications(*channels[0], tests=test, as_json=as_json)
    else:
        try_notifications(as_json=as_json)
