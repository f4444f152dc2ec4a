"""`segment-export demo`: a whole export on made-up customers, into a sandbox."""

import asyncio
import sys
from pathlib import Path

from rich.console import Console

import sandbox
from cli.connect import ConnectionForm, fill_in, save_and_check
from cli.errors import FAILED, CommandRefused
from cli.naming import command_path
from cli.prefect_api import prefect_api
from cli.progress import watching
from cli.run import execute, exit_code
from cli.sample_profiles import SEGMENT, write_profiles
from cli.sandbox import write_secrets
from cli.summary import print_summary
from pipeline import ReportUnwritable
from pipeline.private_files import make_private_folder
from schemas.export import AttributeMapping, ExportRequest
from schemas.outcome import ExportOutcome

LIST_NAME = "Loyal customers"
CONNECTION = "demo"


def run_demo(profiles: int, folder: Path, *, as_json: bool) -> int:
    """Make up customers, start a sandbox, export a segment into it; return the exit code."""
    try:
        folder = make_private_folder(folder)
    except ReportUnwritable as error:
        raise CommandRefused(str(error)) from error
    table = folder / "profiles.parquet"
    with watching(Console(stderr=True)) as watcher, sandbox.running() as box:
        watcher.say(f"Making up {profiles:,} customers in {table}")
        write_profiles(table, profiles)
        list_id = box.add_list(LIST_NAME)
        box.add_custom_field("Income")
        place = write_secrets(box, folder / "sandbox", {LIST_NAME: list_id})
        connection = fill_in(
            ConnectionForm(
                name=CONNECTION,
                client_id=box.client_id,
                client_secret_file=Path(place.client_secret_file),
                refresh_token_file=Path(place.refresh_token_file),
                api_url=box.api_url,
                auth_url=box.auth_url,
                display_name="Demo",
                accepts_data_privacy=True,
            )
        )
        watcher.say(f"A stand-in Constant Contact answers at {box.api_url}")
        with prefect_api(watcher.say):
            asyncio.run(save_and_check(CONNECTION, connection))
            request = ExportRequest(
                connection=CONNECTION,
                list_id=list_id,
                profiles=str(table),
                segments=(SEGMENT,),
                segments_column="Segments",
                email="EMail",
                first_name="FirstName",
                last_name="LastName",
                attributes=(
                    AttributeMapping(column="City", heading="city"),
                    AttributeMapping(column="Income", heading="cf:Income"),
                ),
                newest_by="CreatedOn",
                report_dir=str(folder / "report"),
            )
            outcome = execute(request, watcher)
        members = len(box.state.members(list_id))
    if as_json:
        sys.stdout.write(outcome.model_dump_json(indent=2) + "\n")
    else:
        console = Console()
        print_summary(outcome, console)
        _tell_what_next(outcome, members, folder, console)
    return exit_code(outcome) if members == outcome.counts.sent else FAILED


def _tell_what_next(outcome: ExportOutcome, members: int, folder: Path, console: Console) -> None:
    ours = command_path("segment-export")
    verdict = "exactly those sent" if members == outcome.counts.sent else "NOT those sent"
    console.print(
        f"\nThe sandbox's list “{LIST_NAME}” holds {members:,} contacts: {verdict}.\n\n"
        "Where to look next:\n"
        f"  the run in Prefect's own UI   PREFECT_HOME={folder / 'prefect'} "
        f"{command_path('prefect')} server start\n"
        f"  the same with your data       {ours} sandbox, then {ours} run --help\n"
        f"  a real account                {ours} connect --help\n"
        f"  remove the demo               rm -r {folder}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
