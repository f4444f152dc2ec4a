"""Commands about the connections that there are: `connections` and `lists`."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import JsonOption

app = typer.Typer()
PANEL = "Connections"
PREFECT_YAML = Path("prefect.yaml")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The connection.")]
FileOption = Annotated[
    Path, typer.Option(metavar="FILE", help="The file that holds the saved exports.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

connections = typer.Typer(invoke_without_command=True, no_args_is_help=False)
app.add_typer(connections, name="connections", rich_help_panel=PANEL)


@connections.callback(invoke_without_command=True)
def list_connections(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the connections: whom they reach, who may use them, and how their sign-in is.

    Constant Contact is not asked; `segment-export connections test NAME` does that.
    """
    if context.invoked_subcommand is not None:
        return
    from cli.connections import list_connections

    list_connections(as_json=as_json)


@connections.command("test")
def try_connection(name: NameArgument, as_json: JsonOption = False) -> None:
    """Ask a connection's account who it is, and whether exports would be let through.

    Renews the sign-in where that is due.
    """
    from cli.connections import try_out

    try_out(name, as_json=as_json)


@connections.command("rename")
def rename_connection(
    name: NameArgument,
    new_name: Annotated[str, typer.Argument(metavar="NEW", help="What it is to be called.")],
    file: FileOption = PREFECT_YAML,
    as_json: JsonOption = False,
) -> None:
    """Give a connection another name; refused while saved exports use the old one."""
    from cli.connections import rename

    rename(name, new_name, file=file, as_json=as_json)


@connections.command("remove")
def remove_connection(
    name: NameArgument,
    detach: Annotated[
        bool,
        typer.Option("--detach", help="Leave saved exports that use it without a connection."),
    ] = False,
    file: FileOption = PREFECT_YAML,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Remove a connection with its tokens; refused while saved exports use it.

    What was delivered stays in Constant Contact. An export without a connection does not run.
    """
    from cli.connections import remove

    remove(name, detaches=detach, file=file, asks=not yes, as_json=as_json)


@app.command(rich_help_panel=PANEL)
def lists(
    connection: Annotated[str, typer.Option(help="The connection whose account is asked.")],
    as_json: JsonOption = False,
) -> None:
    """List the contact lists of an account: name, ID, active members, and when it changed."""
    from cli.lists import show_lists

    show_lists(connection, as_json=as_json)
