"""The options that describe an export, written once for every command that takes one."""

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from schemas.export import ExportRequest

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output.")
]


def read_export_options(
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
        str,
        typer.Option(
            metavar="DATE",
            help="What {as_of} in the paths stands for: YYYY-MM-DD, today or yesterday.",
        ),
    ] = "",
    window_minutes: Annotated[
        float, typer.Option(help="The run stops in good order at the end of it.")
    ] = 60,
    max_profiles: Annotated[
        int, typer.Option(help="More profiles than this in the segments are refused.")
    ] = 1_000_000,
    warn_rejects_percent: Annotated[
        float,
        typer.Option(help="More rejected profiles than this, in percent: the run is degraded."),
    ] = 5,
    report_dir: Annotated[
        str, typer.Option(metavar="DIR", help="Where report and rejects go (made private).")
    ] = "",
    name: Annotated[
        str, typer.Option(help="The first part of file names; made from the segments if empty.")
    ] = "",
    again: Annotated[
        bool, typer.Option("--again", help="Deliver once more what is already delivered.")
    ] = False,
    overwrite_newer: Annotated[
        bool,
        typer.Option("--overwrite-newer", help="Deliver a snapshot older than what the list got."),
    ] = False,
) -> "ExportRequest":
    """Turn options into a request.

    Raises:
        CommandRefused: naming the option that makes no sense.
    """
    from cli.request import build_request

    return build_request(
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
        as_of=as_of,
        window_minutes=window_minutes,
        max_profiles=max_profiles,
        warn_rejects_percent=warn_rejects_percent,
        report_dir=report_dir,
        name=name,
        again=again,
        overwrite_newer=overwrite_newer,
    )


def taking_export_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command whose first parameter is a request all options that describe one.

    Typer reads a command's options from its signature, so this one is put together.
    """
    _, *own = inspect.signature(command).parameters.values()
    shared = inspect.signature(read_export_options).parameters.values()

    @functools.wraps(command)
    def take(**given: Any) -> None:
        of_command = {parameter.name: given.pop(parameter.name) for parameter in own}
        command(read_export_options(**given), **of_command)

    # A parameter without a default may not follow one with; arguments are told by place anyhow.
    parameters = sorted([*shared, *own], key=lambda one: one.default is not one.empty)
    take.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by Typer
    take.__annotations__ = {one.name: one.annotation for one in parameters}
    return take


def taking_saved_or_given_export(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an export either by the name of a saved one or by the options of one.

    Its first parameter is a request, or None where its own parameter `export` names a saved one.
    What each run of the command is given by itself is no option: date, repetition, overwriting.
    """
    _, *own = inspect.signature(command).parameters.values()
    shared = [
        parameter
        if parameter.default is not inspect.Parameter.empty
        else parameter.replace(default=[] if parameter.name == "segment" else "")
        for parameter in inspect.signature(read_export_options).parameters.values()
        if parameter.name not in {"as_of", "again", "overwrite_newer"}
    ]
    required = ("connection", "list_id", "profiles", "segment", "email")

    @functools.wraps(command)
    def take(**given: Any) -> None:
        from cli.errors import CommandRefused

        of_command = {parameter.name: given.pop(parameter.name) for parameter in own}
        defaults = {parameter.name: parameter.default for parameter in shared}
        is_saved = bool(of_command["export"])
        changed = [n for n, value in given.items() if (value or None) != (defaults[n] or None)]
        if is_saved and changed:
            raise CommandRefused(
                f"--export takes all settings of the saved export: leave out {_names(changed)}."
            )
        missing = [name for name in required if not given[name]]
        if not is_saved and missing:
            raise CommandRefused(
                f"Name a saved export (--export NAME), or give {_names(missing)} as to `run`."
            )
        command(None if is_saved else read_export_options(**given), **of_command)

    parameters = [*own, *shared]
    take.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # as above
    take.__annotations__ = {one.name: one.annotation for one in parameters}
    return take


def _names(parameters: list[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in parameters)
