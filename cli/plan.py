"""`segment-export plan`: what `run` would do, for a person or a script."""

import asyncio
import sys
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.errors import DELIVERED, FAILED, REFUSED, CommandFailed, CommandRefused
from cli.prefect_api import prefect_api
from cli.preparing import preparing
from cli.progress import Watcher, watching
from cli.summary import tell_verdicts
from pipeline import Prepared
from schemas.export import ExportRequest
from schemas.plan import ExportPlan
from tasks.connection import open_client
from tasks.planning import plan_export
from tasks.report_folder import open_report_folder
from tasks.session import Handover, handing_over, new_session
from tasks.stops import EXPORT_ERRORS, explain_stop

BATCHES_SHOWN = 10


def show_plan(request: ExportRequest, *, as_json: bool) -> int:
    """Work out what an export would do, tell it, and return the exit code.

    Raises:
        CommandRefused: `run` would be refused likewise.
        CommandFailed: it cannot be told, as something does not answer.
    """
    try:
        with watching(Console(stderr=True)) as watcher:
            plan = _work_out(request, watcher)
    except EXPORT_ERRORS as error:
        stop = explain_stop(error)
        raise (CommandRefused if stop.is_refusal else CommandFailed)(stop.reason) from error
    if as_json:
        sys.stdout.write(plan.model_dump_json(indent=2) + "\n")
    else:
        _print_plan(plan, Console())
    if plan.refused:
        return REFUSED
    return FAILED if plan.obstacle else DELIVERED


def _work_out(request: ExportRequest, watcher: Watcher) -> ExportPlan:
    request = request.dated(datetime.now(UTC))
    report_dir = open_report_folder(request) if request.report_dir else None
    with (
        preparing(request, report_dir, watcher.on_progress) as prepared,
        prefect_api(watcher.say, meanwhile=prepared),
    ):
        return asyncio.run(_plan(request, watcher, prepared, report_dir))


async def _plan(
    request: ExportRequest, watcher: Watcher, prepared: Future[Prepared], report_dir: Path | None
) -> ExportPlan:
    handover = Handover(
        report_dir=report_dir, prepared=prepared, on_event=watcher.on_event, on_note=watcher.say
    )
    with handing_over(handover), new_session(request) as session:
        async with open_client(session):
            return await plan_export(session)


def _print_plan(plan: ExportPlan, console: Console) -> None:
    console.print()
    console.print(Text(plan.message), soft_wrap=True)
    if plan.obstacle:
        console.print(Text.assemble(("! ", "yellow"), plan.obstacle), soft_wrap=True)
    console.print()
    table = tell_verdicts(plan.counts, plan.reject_reasons, sent="contacts in the delivery")
    table.add_row(f"{plan.requests.uploads:,}", "uploads")
    table.add_row(f"{plan.requests.needed:,}", "requests in all, where nothing goes wrong")
    table.add_row(
        f"{plan.requests.used_today:,}", f"requests used today, of {plan.requests.daily:,}"
    )
    console.print(table)
    console.print()
    console.print(_tabulate_batches(plan))
    for note in plan.notes:
        console.print(f"\nNote: {note}", highlight=False, markup=False, soft_wrap=True)
    for title, path in (("Rejects", plan.rejects_path), ("Amended", plan.amended_path)):
        if path:
            console.print(f"{title}: {path}", highlight=False, markup=False, soft_wrap=True)


def _tabulate_batches(plan: ExportPlan) -> Table:
    table = Table(box=None, padding=(0, 2))
    table.add_column("contacts", justify="right")
    table.add_column("bytes", justify="right")
    table.add_column("batch")
    for batch in plan.batches[:BATCHES_SHOWN]:
        there = " (accepted already)" if batch.already_accepted else ""
        table.add_row(f"{batch.rows:,}", f"{batch.bytes:,}", f"{batch.file_name}{there}")
    if (hidden := len(plan.batches) - BATCHES_SHOWN) > 0:
        table.add_row("", "", f"… and {hidden:,} more")
    return table
