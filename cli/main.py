"""The `segment-export` command. Heavy imports happen inside the commands: `--help` is instant."""

import signal
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.errors import FAILED, REFUSED, CommandEnded, CommandError
from cli.options import JsonOption, taking_export_options
from cli.prefect_api import isolate_prefect, keep_prefect_quiet

if TYPE_CHECKING:
    from schemas.export import ExportRequest

app = typer.Typer(
    name="segment-export",
    help="Deliver customer segments to Constant Contact: fast, and without losing or repeating "
    "anyone.",
    epilog="Begin with `segment-export demo`: it needs nothing and shows a whole export. "
    "Exit codes: 0 delivered or nothing to do, 1 failed or incomplete, 2 refused before "
    "anything was uploaded.",
    no_args_is_help=False,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

STOPPED = "stopped. Run the same command again to continue where it stopped."
MISUSED = "The arguments make no sense; standard error says which."
TYPER_INTERRUPTED = 130  # what Typer makes of Ctrl-C


@app.callback(invoke_without_command=True)
def teach(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[  # noqa: ARG001 -- taken out of the arguments by `main`, wherever it stands
        bool, typer.Option("--debug", help="Show the traceback of an unexpected error.")
    ] = False,
) -> None:
    """Show the help when no command is given."""
    if version:
        from importlib.metadata import version as installed_version

        typer.echo(f"segment-export {installed_version('segment-export')}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
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


@app.command()
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


@app.command()
def connect(
    name: Annotated[str, typer.Argument(help="How to call the connection.")],
    client_id: Annotated[
        str, typer.Option(help="The API key (client id) of the Constant Contact application.")
    ],
    refresh_token_file: Annotated[
        Path, typer.Option(metavar="FILE", help="A file that holds a refresh token.")
    ],
    client_secret_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A file that holds the client secret; none for a public client."
        ),
    ] = None,
    api_url: Annotated[
        str, typer.Option(metavar="URL", help="The API's address, up to and with /v3.")
    ] = "https://api.cc.email/v3",
    auth_url: Annotated[
        str, typer.Option(metavar="URL", help="The sign-in service's address.")
    ] = "https://authz.constantcontact.com/oauth2/default/v1",
    display_name: Annotated[str, typer.Option(help="A name for people; NAME if empty.")] = "",
    may_use: Annotated[
        list[str] | None,
        typer.Option(help="Who may use the connection; administrators if not given."),
    ] = None,
    contact_allowance: Annotated[
        int | None,
        typer.Option(min=0, help="The most contacts that the contract allows in one export."),
    ] = None,
    daily_requests: Annotated[
        int,
        typer.Option(
            min=1, help="The most requests a day under this API key; partners may have more."
        ),
    ] = 10_000,
    accept_data_privacy: Annotated[
        bool,
        typer.Option(
            "--accept-data-privacy", help="Agree that personal data leaves to Constant Contact."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Create a connection to a Constant Contact account, and check that it works.

    Secrets are read from files, never from the command line. Connecting a name again renews its
    sign-in.
    """
    from cli.connect import ConnectionForm, connect_account

    form = ConnectionForm(
        name=name,
        client_id=client_id,
        client_secret_file=client_secret_file,
        refresh_token_file=refresh_token_file,
        api_url=api_url,
        auth_url=auth_url,
        display_name=display_name or name,
        may_use=tuple(may_use or ["administrators"]),
        contact_allowance=contact_allowance,
        daily_requests=daily_requests,
        accepts_data_privacy=accept_data_privacy,
    )
    connect_account(form, as_json=as_json)


@app.command()
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


@app.command()
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


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(help="Where to listen on 127.0.0.1; 0 picks one.")] = 8080,
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


def main() -> None:
    """Run the command line: errors are one line on standard error, never a traceback."""
    shows_details = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    keep_prefect_quiet(shows_details=shows_details)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: in good order
    try:
        app(arguments)
    except BaseException as error:
        code, line = phrase_end(error)
        if shows_details and line and not isinstance(error, SystemExit):
            raise
        if line:
            typer.echo(f"segment-export: {line}", err=True)
        is_misuse = isinstance(error, SystemExit) and code == REFUSED
        if "--json" in arguments and (line or is_misuse):
            typer.echo(
                render_failure(
                    line or MISUSED, is_refused=code == REFUSED, was_stopped=line == STOPPED
                )
            )
        from cli.background import end_process

        end_process(code)


def phrase_end(error: BaseException) -> tuple[int, str]:
    """Give the exit code and the line for a person of whatever ended a command."""
    if isinstance(error, CommandError):
        return error.exit_code, str(error)
    is_interrupted = isinstance(error, SystemExit) and error.code == TYPER_INTERRUPTED
    if is_interrupted or type(error).__name__ in {"KeyboardInterrupt", "TerminationSignal"}:
        return FAILED, STOPPED
    if isinstance(error, SystemExit):
        return int(error.code or 0), ""
    if isinstance(error, CommandEnded):
        return error.exit_code, ""
    # Where, but not what it says: messages of other people's errors may quote values.
    place = traceback.extract_tb(error.__traceback__)[-1]
    return FAILED, (
        f"an unexpected {type(error).__name__} in {Path(place.filename).name} line "
        f"{place.lineno}; this is a defect. Run again with --debug for details and report it."
    )


def render_failure(message: str, *, is_refused: bool, was_stopped: bool = False) -> str:
    """Render the JSON document of a command that ended before there was an export to tell of."""
    from schemas.outcome import Counts, ExportOutcome, RequestCounts, Status

    now = datetime.now(UTC)
    return ExportOutcome(
        status=Status.INCOMPLETE if was_stopped else Status.FAILED,
        message=message,
        refused=is_refused,
        delivery="",
        list_id="",
        started_at=now,
        finished_at=now,
        counts=Counts(),
        requests=RequestCounts(),
    ).model_dump_json(indent=2)


if __name__ == "__main__":
    main()
