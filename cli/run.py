"""`segment-export run`: the export flow in this process, for a person or a script."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime

from rich.console import Console

from cli.errors import DELIVERED, FAILED, REFUSED, CommandEnded
from cli.flow_ends import end_cancelled, run_to_its_end
from cli.prefect_api import prefect_api
from cli.preparing import preparing
from cli.progress import Watcher, watching
from cli.stopping import run_until_stopped
from cli.summary import print_summary
from flows.export_segment import export_segment
from pipeline import ReportUnwritable
from schemas.export import ExportRequest
from schemas.outcome import ExportOutcome
from tasks.cancellation import CANCELLED
from tasks.report import conclude
from tasks.report_folder import discard_if_empty, open_report_folder
from tasks.session import Handover, handing_over, new_session
from tasks.stops import EXPORT_ERRORS, ExportError, explain_stop


def run_export(request: ExportRequest, *, as_json: bool) -> int:
    """Run an export, tell how it went, and return the exit code."""
    with watching(Console(stderr=True)) as watcher:
        outcome = execute(request, watcher)
    try:
        if as_json:
            sys.stdout.write(outcome.model_dump_json(indent=2) + "\n")
        if outcome.refused:
            sys.stderr.write(f"segment-export: {outcome.message}\n")
        elif not as_json:
            print_summary(outcome, Console())
    except KeyboardInterrupt:  # a second document would contradict what is delivered
        raise CommandEnded(exit_code(outcome)) from None
    return exit_code(outcome)


def exit_code(outcome: ExportOutcome) -> int:
    """Return the exit code of the contract: 0 delivered, 1 failed or incomplete, 2 refused."""
    if outcome.refused:
        return REFUSED
    return DELIVERED if outcome.ended_well else FAILED


def execute(
    request: ExportRequest, watcher: Watcher, *, on_stop: Callable[[], None] = lambda: None
) -> ExportOutcome:
    """Run the export flow in this process.

    The contacts are prepared while a Prefect API starts; bad input ends the command at once.
    `on_stop` is told when somebody stops the run, be it too late for that.

    Raises:
        KeyboardInterrupt: it was stopped, and has no outcome.
    """
    started_at = datetime.now(UTC)
    request = request.dated(started_at)
    told: list[ExportOutcome] = []

    def heed_cancel() -> None:
        on_stop()
        watcher.say(CANCELLED)

    try:
        report_dir = open_report_folder(request)
    except ReportUnwritable as error:
        return _refuse(request, error)
    try:
        with (
            preparing(request, report_dir, watcher.on_progress) as prepared,
            prefect_api(watcher.say, meanwhile=prepared),
        ):
            handover = Handover(
                started_at=started_at,
                report_dir=report_dir,
                prepared=prepared,
                on_progress=watcher.on_progress,
                on_event=watcher.on_event,
                on_note=watcher.say,
                on_outcome=told.append,
                on_cancel=heed_cancel,
                ends_when_stopped=True,
            )
            with handing_over(handover):
                return run_until_stopped(
                    lambda: _run_flow(request, told, on_stop), say=watcher.say, on_stop=on_stop
                )
    except EXPORT_ERRORS as error:
        return _refuse(request, error)
    except KeyboardInterrupt:
        on_stop()
        if not told:
            raise
        return told[-1]
    finally:
        if not request.report_dir:
            discard_if_empty(report_dir)


async def _run_flow(
    request: ExportRequest,
    told: list[ExportOutcome],
    on_stop: Callable[[], None] = lambda: None,
) -> ExportOutcome:
    """Run the flow; what it told of its outcome holds, whatever Prefect's API makes of its end."""
    state = await run_to_its_end(export_segment(request, return_state=True), told)
    if state is None:
        return told[-1]
    if told:
        if state.is_cancelling():
            on_stop()
            await end_cancelled(state, told[-1].message)
        return told[-1]
    outcome = await state.aresult(raise_on_failure=False)
    if not isinstance(outcome, ExportOutcome):
        raise outcome
    return outcome


def _refuse(request: ExportRequest, error: ExportError) -> ExportOutcome:
    with new_session(request) as session:
        session.stop = explain_stop(error)
        return conclude(session)
