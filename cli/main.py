"""The `segment-export` command. Heavy imports happen inside the commands: `--help` is instant."""

import signal
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import FAILED, REFUSED, CommandEnded, CommandError
from cli.prefect_api import isolate_prefect, keep_prefect_quiet

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

MISUSED = "The arguments make no sense; standard error says which."
TYPER_INTERRUPTED = 130  # what Typer makes of Ctrl-C

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output.")
]


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
def run(
    connection: Annotated[str, typer.Option(help="The connection to deliver through.")],
    list_id: Annotated[
        str, typer.Option(help="The contact list: its UUID, the number in its URL, or the URL.")
    ],
    profiles: Annotated[
        str,
        typer.Option(
            metavar="PATH", help="Unified profiles: Parquet file, folder, glob, s3:// or abfss://."
        ),
    ],
    segment: Annotated[
        list[str], typer.Option(metavar="NAME", help="A segment to export; may be repeated.")
    ],
    email: Annotated[str, typer.Option(metavar="COLUMN", help="The e-mail column.")],
    first_name: Annotated[str, typer.Option(metavar="COLUMN", help="The first-name column.")] = "",
    last_name: Annotated[str, typer.Option(metavar="COLUMN", help="The last-name column.")] = "",
    attribute: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=HEADING",
            help="A further column and the field it goes to: a heading of the CSV import, or "
            "cf:NAME for a custom field; may be repeated.",
        ),
    ] = None,
    segments_column: Annotated[
        str,
        typer.Option(
            metavar="COLUMN", help="The profiles' column that lists each customer's segments."
        ),
    ] = "",
    memberships: Annotated[
        str,
        typer.Option(
            metavar="PATH", help="The memberships table, or a folder with one table a segment."
        ),
    ] = "",
    customer_id: Annotated[
        str, typer.Option(metavar="COLUMN", help="The key column.")
    ] = "CustomerId",
    newest_by: Annotated[
        str,
        typer.Option(
            metavar="COLUMN",
            help="Of customers who share an e-mail address the newest by this column goes.",
        ),
    ] = "",
    as_of: Annotated[
        str, typer.Option(metavar="DATE", help="What {as_of} in the paths stands for: YYYY-MM-DD.")
    ] = "",
    window_minutes: Annotated[
        float, typer.Option(help="The run stops in good order at the end of it.")
    ] = 60,
    max_profiles: Annotated[
        int, typer.Option(help="More profiles than this in the segments are refused.")
    ] = 1_000_000,
    report_dir: Annotated[
        str, typer.Option(metavar="DIR", help="Where report and rejects go (made private).")
    ] = "",
    name: Annotated[
        str, typer.Option(help="The first part of file names; made from the segments if empty.")
    ] = "",
    again: Annotated[
        bool, typer.Option("--again", help="Deliver once more what is already delivered.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Deliver the members of segments to a contact list, now.

    Running the same command again after an interruption continues where it stopped; a delivery
    that is complete is not repeated unless --again is given.

    Example: `segment-export run --connection acme --list-id 7a1f… --profiles profiles.parquet
    --memberships memberships.parquet --segment Loyalty_High --email EMail
    --first-name FirstName --last-name LastName`
    """
    from cli.run import build_request, run_export

    request = build_request(
        connection=connection,
        list_id=list_id,
        profiles=profiles,
        segments=segment,
        email=email,
        first_name=first_name,
        last_name=last_name,
        attributes=attribute or [],
        segments_column=segments_column,
        memberships=memberships,
        customer_id=customer_id,
        newest_by=newest_by,
        as_of=as_of or None,
        window_minutes=window_minutes,
        max_profiles=max_profiles,
        report_dir=report_dir,
        name=name,
        again=again,
    )
    raise CommandEnded(run_export(request, as_json=as_json))


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
        accepts_data_privacy=accept_data_privacy,
    )
    connect_account(form, as_json=as_json)


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
            typer.echo(render_failure(line or MISUSED, is_refused=code == REFUSED))
        sys.exit(code)


def phrase_end(error: BaseException) -> tuple[int, str]:
    """Give the exit code and the line for a person of whatever ended a command."""
    if isinstance(error, CommandError):
        return error.exit_code, str(error)
    is_interrupted = isinstance(error, SystemExit) and error.code == TYPER_INTERRUPTED
    if is_interrupted or type(error).__name__ in {"KeyboardInterrupt", "TerminationSignal"}:
        return FAILED, "stopped. Run the same command again to continue where it stopped."
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


def render_failure(message: str, *, is_refused: bool) -> str:
    """Render the JSON document of a command that ended before there was an export to tell of."""
    from schemas.outcome import Counts, ExportOutcome, RequestCounts, Status

    now = datetime.now(UTC)
    return ExportOutcome(
        status=Status.FAILED,
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
