"""`segment-export backfill`: a range of snapshots, for a person or a script."""

import asyncio
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from prefect import tags
from pydantic import ValidationError
from rich.console import Console

from cli.backfill_tables import print_plan, print_status
from cli.errors import DELIVERED, FAILED, REFUSED, CommandFailed, CommandRefused
from cli.flow_ends import end_cancelled, run_to_its_end
from cli.prefect_api import prefect_api
from cli.printing import say
from cli.progress import watching
from cli.run import execute
from cli.stopping import run_until_stopped
from deployments.changes import DeploymentRefused
from deployments.export_file import read_exports
from flows.backfill_export import backfill_export
from schemas.backfill import (
    BackfillOutcome,
    BackfillRequest,
    Every,
    Snapshot,
    SnapshotRange,
    SnapshotState,
)
from schemas.export import ExportRequest
from tasks.backfill import (
    Backfill,
    BackfillListener,
    conclude_backfill,
    listening,
)
from tasks.backfill_plan import plan_snapshots
from tasks.backfill_records import list_known_dates, read_attempts, tag_range, tag_run
from tasks.backfill_runs import UnknownExport, read_saved_export
from tasks.backfill_steps import deliver_snapshots, plan_and_tell
from tasks.cancellation import CANCELLED
from tasks.shared_api import has_shared_api
from tasks.stops import EXPORT_ERRORS, STOPPED, explain_stop
from tasks.tolerance import tolerating_prefect

# Only looked at, no date is left out for being one too many.
ANY_NUMBER = 1_000_000
NO_DATE = "2000-01-01"
PREFECT_YAML = Path("prefect.yaml")

_OPTION_OF_FIELD = {"first_date": "--from", "last_date": "--to"}


@dataclass(frozen=True, slots=True)
class BackfillOptions:
    """The options of a backfill, as they were given."""

    first_date: str
    last_date: str
    every: Every
    keep_going: bool
    allow_missing: bool
    overwrite_newer: bool
    max_runs: int
    plan_only: bool
    status_only: bool

    @property
    def has_range(self) -> bool:
        """Say whether a range was given."""
        return bool(self.first_date or self.last_date)

    def build_range(self) -> SnapshotRange:
        """Turn the options into a range.

        Raises:
            CommandRefused: naming the option that makes no sense.
        """
        is_remembered = self.status_only and not self.has_range
        try:
            return SnapshotRange(
                first_date=NO_DATE if is_remembered else self.first_date,
                last_date=NO_DATE if is_remembered else self.last_date,
                every=self.every,
                keep_going=self.keep_going,
                allow_missing=self.allow_missing,
                overwrite_newer=self.overwrite_newer,
                max_runs=ANY_NUMBER if self.status_only else self.max_runs,
            )
        except ValidationError as error:
            problem = error.errors()[0]
            field = str(problem["loc"][0]) if problem["loc"] else "last_date"
            option = _OPTION_OF_FIELD.get(field, f"--{field.replace('_', '-')}")
            words = problem["msg"].removeprefix("Value error, ")
            if problem["type"] == "string_pattern_mismatch":
                words = "give a date (YYYY-MM-DD)"
            raise CommandRefused(f"{option}: {words}.") from None


def run_backfill(
    options: BackfillOptions, *, export: str, request: ExportRequest | None, as_json: bool
) -> int:
    """Carry out a backfill, or only look at it; tell it, and return the exit code.

    Raises:
        CommandRefused: what was asked for cannot be done.
        CommandFailed: something does not answer.
    """
    if options.plan_only and options.status_only:
        raise CommandRefused(
            "--plan shows what would be done, --status what has been done: give one of them."
        )
    asked = options.build_range()
    notes = Console(stderr=True)
    listener = BackfillListener(on_plan=lambda plan: print_plan(plan, notes), on_note=say)
    with prefect_api(say):
        try:
            begun = asyncio.run(
                _begin(asked, export, request, listener, only_looks=options.status_only)
            )
            if options.plan_only or options.status_only:
                outcome = asyncio.run(_look(begun, options))
            elif begun.runs_elsewhere:
                outcome = _deliver_elsewhere(begun)
            else:
                outcome = _deliver_here(begun, notes)
        except EXPORT_ERRORS as error:
            stop = explain_stop(error)
            raise (CommandRefused if stop.is_refusal else CommandFailed)(stop.reason) from error
    if as_json:
        sys.stdout.write(outcome.model_dump_json(indent=2) + "\n")
    if outcome.refused:
        sys.stderr.write(f"segment-export: {outcome.message}\n")
        return REFUSED
    if not as_json:
        (print_plan if options.plan_only else print_status)(outcome, Console())
    return DELIVERED if outcome.ended_well else FAILED


async def _begin(
    asked: SnapshotRange,
    export: str,
    request: ExportRequest | None,
    listener: BackfillListener,
    *,
    only_looks: bool,
) -> Backfill:
    if request is not None:
        return Backfill(asked, request, listener=listener)
    try:
        saved = await read_saved_export(export, needs_queue=has_shared_api() and not only_looks)
    except UnknownExport:
        if not _is_in_file(export):
            raise
        raise CommandRefused(
            f"The saved export “{export}” is in {PREFECT_YAML}, but not on the Prefect server yet: "
            "run `segment-export deploy`, and this again."
        ) from None
    return Backfill(
        asked,
        saved.request,
        export=export,
        runs_elsewhere=has_shared_api(),
        folder=saved.folder,
        listener=listener,
    )


def _is_in_file(export: str) -> bool:
    """Say whether the file of saved exports in this folder has one that waits to be deployed."""
    try:
        return any(saved.name == export for saved in read_exports(PREFECT_YAML))
    except DeploymentRefused:
        return False


async def _look(begun: Backfill, options: BackfillOptions) -> BackfillOutcome:
    """Work out where all snapshots stand; without a range, those of the ranges that were run."""
    if not options.has_range:
        begun.only_dates = list_known_dates(await read_attempts(begun.backfill_id))
        if not begun.only_dates:
            raise CommandRefused(
                "No backfill of this export has been run. Give --from and --to to see what is "
                "there of its snapshots."
            )
    await plan_snapshots(begun)
    return conclude_backfill(begun, is_plan=options.plan_only)


def _deliver_elsewhere(begun: Backfill) -> BackfillOutcome:
    """Run the backfill flow, which has workers carry out the runs."""
    request = BackfillRequest(export=begun.export, **begun.asked.model_dump())
    say_so = begun.listener.on_note
    told: list[BackfillOutcome] = []
    listener = replace(
        begun.listener,
        on_outcome=told.append,
        on_cancel=lambda: say_so(CANCELLED),
        ends_when_stopped=True,
    )
    try:
        with listening(listener):
            return run_until_stopped(lambda: _run_flow(request, told), say=say_so)
    except KeyboardInterrupt:
        if not told:
            raise
        return told[-1]


async def _run_flow(request: BackfillRequest, told: list[BackfillOutcome]) -> BackfillOutcome:
    state = await run_to_its_end(backfill_export(request, return_state=True), told)
    if state is None:
        return told[-1]
    if told:
        if state.is_cancelling():
            await end_cancelled(state, told[-1].message)
        return told[-1]
    outcome = await state.aresult(raise_on_failure=False)
    if isinstance(outcome, BackfillOutcome):
        return outcome
    raise CommandFailed(state.message or "The backfill ended without saying why; run it again.")


def _deliver_here(begun: Backfill, console: Console) -> BackfillOutcome:
    """Deliver in this process, one snapshot after the other."""

    async def deliver_one(snapshot: Snapshot) -> Snapshot:
        begun.listener.on_note(f"Snapshot {snapshot.date}")
        return await _name_run(begun, _execute_one(begun, snapshot, console))

    async def deliver_all() -> None:
        await plan_and_tell(begun)
        await deliver_snapshots(begun, deliver_one)

    # Unlike asyncio.run this leaves Ctrl-C to the export that is being carried out.
    with asyncio.Runner() as runner:
        runner.get_loop().run_until_complete(deliver_all())
    return conclude_backfill(begun)


def _execute_one(begun: Backfill, snapshot: Snapshot, console: Console) -> Snapshot:
    marks = tag_run(begun.backfill_id, snapshot.date, snapshot.delivery)
    marks.append(tag_range(begun.asked))
    stops: list[str] = []
    try:
        with tags(*marks), watching(console) as watcher:
            outcome = execute(
                begun.dated(snapshot.date), watcher, on_stop=lambda: stops.append(snapshot.date)
            )
    except CommandFailed as error:  # Prefect's API is gone: so is the next run's
        begun.stop = str(error)
        return snapshot
    is_last = not any(one.state.is_due for one in begun.snapshots if one.date != snapshot.date)
    if stops and not (is_last and outcome.ended_well):
        begun.stop = STOPPED.reason
    state = SnapshotState.DELIVERED if outcome.ended_well else SnapshotState.FAILED
    ended = {
        "state": state,
        "message": outcome.message,
        "lacks_quota": outcome.lacks_quota,
        "attempts": snapshot.attempts + 1,
    }
    return snapshot.model_copy(update=ended)


async def _name_run(begun: Backfill, snapshot: Snapshot) -> Snapshot:
    """Add what the run of a snapshot is called; one that was refused at once has none."""
    async with tolerating_prefect("the question about a run's name"):
        if attempts := (await read_attempts(begun.backfill_id)).get(snapshot.date):
            last = attempts[-1]
            named = {"run_name": last.run_name, "run_id": last.run_id}
            return snapshot.model_copy(update=named)
    return snapshot
