"""What came of an export's last runs: one table artifact an export, carried on from run to run."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from prefect.artifacts import acreate_table_artifact
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactCollectionFilter,
    ArtifactCollectionFilterKey,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterName,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.context import FlowRunContext
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from pipeline import export_slug
from pipeline.delivery import delivery_key
from schemas.export import ExportRequest
from schemas.outcome import ExportOutcome, Status
from tasks.tolerance import tolerating_prefect

HISTORY_ARTIFACT_KEY = "export-history"
MOST_RUNS = 20


class RunResult(StrEnum):
    """What a run of an export came to, in the one word that matters to who watches it."""

    DELIVERED = "delivered"
    DEGRADED = "degraded"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CRASHED = "crashed"
    STOPPED = "stopped"


class PastRun(BaseModel):
    """A line of the history: counts only. A run that died has none."""

    model_config = ConfigDict(frozen=True)

    ended: str
    result: RunResult
    sent: int | None = None
    rejected: int | None = None
    duplicates: int | None = None
    imported: int | None = None
    requests: int | None = None
    seconds: int | None = None
    run: str = ""


@dataclass(frozen=True, slots=True)
class ExportPast:
    """Which export a run is of, and how the runs before it went, the newest first.

    `slug` names the export on Prefect's side: the saved export's name where the run is of one,
    else the export's own, else its segments and where they go. `is_known`: Prefect has told of the
    runs before, if there were any.
    """

    slug: str
    run_id: str = ""
    runs: tuple[PastRun, ...] = ()
    is_known: bool = False

    @property
    def last(self) -> PastRun | None:
        """Return the run before, if there is one."""
        return self.runs[0] if self.runs else None

    @property
    def last_judged(self) -> PastRun | None:
        """Return the last run that says how the export is: one that was stopped does not."""
        return next((run for run in self.runs if run.result is not RunResult.STOPPED), None)


_LINES = TypeAdapter(tuple[PastRun, ...])


def judge_outcome(
    outcome: ExportOutcome, *, warn_rejects_percent: float, was_stopped: bool = False
) -> RunResult:
    """Say what a run came to.

    It is degraded when it ended well, but more profiles than so many percent did not arrive:
    those rejected before, and those that Constant Contact refused.
    """
    if not outcome.ended_well:
        if was_stopped:
            return RunResult.STOPPED
        is_incomplete = outcome.status is Status.INCOMPLETE
        return RunResult.INCOMPLETE if is_incomplete else RunResult.FAILED
    counts = outcome.counts
    refused = counts.rejected + counts.api_errors + counts.api_correctable
    is_degraded = refused * 100 > warn_rejects_percent * counts.profiles_in_segment
    return RunResult.DEGRADED if is_degraded else RunResult.DELIVERED


def has_recovered(result: RunResult, before: PastRun | None) -> bool:
    """Say whether all is well again after a run that was not."""
    was_well = before is None or before.result in {RunResult.DELIVERED, RunResult.STOPPED}
    return result is RunResult.DELIVERED and not was_well


def is_known_degraded(outcome: ExportOutcome, result: RunResult, before: PastRun | None) -> bool:
    """Say whether a run is degraded only as the one before was, of which people were told.

    It had nothing to do and rejected as many: nothing new has been judged. The history calls it
    degraded all the same, for so the export is until a run is better.
    """
    return (
        result is RunResult.DEGRADED
        and outcome.status is Status.NOTHING_TO_DO
        and before is not None
        and before.result is RunResult.DEGRADED
        and before.rejected == outcome.counts.rejected
    )


def to_past_run(outcome: ExportOutcome, result: RunResult, *, run_id: str) -> PastRun:
    """Write a run as a line of the history."""
    counts = outcome.counts
    return PastRun(
        ended=format_moment(outcome.finished_at),
        result=result,
        sent=counts.sent,
        rejected=counts.rejected,
        duplicates=counts.duplicates,
        imported=counts.imported,
        requests=outcome.requests.total,
        seconds=round((outcome.finished_at - outcome.started_at).total_seconds()),
        run=run_id,
    )


def with_unrecorded(runs: tuple[PastRun, ...], before: FlowRun | None) -> tuple[PastRun, ...]:
    """Put the run before on top where it died, and so could not write its line itself.

    One that was stopped wrote its line, and yet has died in Prefect's eyes where it was not
    cancelled there: then that is what people were told of it.
    """
    if before is None or before.state is None:
        return runs
    results = {StateType.CRASHED: RunResult.CRASHED, StateType.FAILED: RunResult.FAILED}
    result = results.get(before.state.type)
    if result is None:
        return runs
    if any(run.run == str(before.id) for run in runs):
        return tuple(
            run.model_copy(update={"result": result})
            if run.run == str(before.id) and run.result is RunResult.STOPPED
            else run
            for run in runs
        )
    ended = format_moment(before.end_time) if before.end_time else ""
    return PastRun(ended=ended, result=result, run=str(before.id)), *runs


def format_moment(moment: datetime) -> str:
    """Write a moment for people, to the minute."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


async def read_past(request: ExportRequest) -> ExportPast:
    """Find out which export this run is of, and how its runs before went.

    What Prefect does not tell stays unknown; the run goes on.
    """
    slug = _own_slug(request)
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return ExportPast(slug)
    own = context.flow_run
    past = ExportPast(slug, str(own.id))
    async with tolerating_prefect("the question about earlier runs"), get_client() as client:
        if own.deployment_id is not None:
            deployment = await client.read_deployment(own.deployment_id)
            past = replace(past, slug=export_slug(deployment.name))
        runs = await _read_history(client, past.slug)
        before = await _read_run_before(client, own, request)
        return replace(past, runs=with_unrecorded(runs, before), is_known=True)
    return past


async def keep_history(past: ExportPast, run: PastRun) -> None:
    """Write the history anew, with this run on top; what could not be read is not overwritten."""
    if not past.is_known:
        return
    others = [one for one in past.runs if one.run != run.run]
    table: list[dict[str, Any]] = [
        one.model_dump(mode="json") for one in (run, *others)[:MOST_RUNS]
    ]
    async with tolerating_prefect():
        await acreate_table_artifact(
            table,
            key=f"{HISTORY_ARTIFACT_KEY}-{past.slug}",
            description=f"The last runs of {past.slug}, the newest first.",
        )


def _own_slug(request: ExportRequest) -> str:
    """Name an export that is not saved; one without a name is known by where it goes as well."""
    if request.name:
        return export_slug(request.name)
    goes_to = delivery_key([request.connection, request.list_id])[:8]
    return f"{export_slug('-'.join(request.segments))[:30]}-{goes_to}"


async def _read_history(client: PrefectClient, slug: str) -> tuple[PastRun, ...]:
    found = await client.read_latest_artifacts(
        artifact_filter=ArtifactCollectionFilter(
            key=ArtifactCollectionFilterKey(any_=[f"{HISTORY_ARTIFACT_KEY}-{slug}"])
        )
    )
    data = found[0].data if found else None
    try:
        return _LINES.validate_json(data) if isinstance(data, str) else ()
    except ValidationError:  # somebody else's: it begins anew
        return ()


async def _read_run_before(
    client: PrefectClient, own: FlowRun, request: ExportRequest
) -> FlowRun | None:
    """Read the run of the same export that ended last; one that a person cancelled is passed."""
    ended = FlowRunFilterStateType(any_=[StateType.COMPLETED, StateType.FAILED, StateType.CRASHED])
    if own.deployment_id is not None:
        same = FlowRunFilter(
            state=FlowRunFilterState(type=ended),
            deployment_id=FlowRunFilterDeploymentId(any_=[own.deployment_id]),
        )
    else:  # the name says what is delivered and through which connection
        same = FlowRunFilter(
            state=FlowRunFilterState(type=ended),
            deployment_id=FlowRunFilterDeploymentId(is_null_=True),
            name=FlowRunFilterName(any_=[own.name]),
        )
    found = await client.read_flow_runs(
        flow_run_filter=same, sort=FlowRunSort.END_TIME_DESC, limit=MOST_RUNS
    )
    is_known_by_name = own.deployment_id is not None or bool(request.name)
    return next(
        (run for run in found if is_known_by_name or _list_of(run) == request.list_id), None
    )


def _list_of(run: FlowRun) -> str:
    request = run.parameters.get("request")
    return str(request.get("list_id")) if isinstance(request, dict) else ""
