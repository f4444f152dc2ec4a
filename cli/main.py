"""The `segment-export` command. Heavy imports happen inside the commands: `--help` is instant."""

import signal
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.commands import connecting, connections, deploying, exporting, operating, saving, trying
from cli.errors import FAILED, REFUSED, CommandEnded, CommandError
from cli.prefect_api import keep_prefect_quiet

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
for group in (exporting, connecting, connections, deploying, operating, saving, trying):
    app.add_typer(group.app)

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
