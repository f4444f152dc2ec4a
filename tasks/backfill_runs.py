"""Deliver snapshots through a saved export: its settings, and runs that workers carry out."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound
from pydantic import ValidationError

from schemas.backfill import Snapshot, SnapshotState
from schemas.export import ExportRequest
from tasks.backfill import Backfill
from tasks.backfill_records import tag_range, tag_run
from tasks.backfill_turns import (
    LOOK_EVERY_S,
    QUEUE,
    SILENT_LOOKS,
    find_pause,
    let_others_go_first,
)
from tasks.errors import BackfillRefused
from tasks.quota_label import lacks_quota

EXPORT_FLOW = "export-segment"
LOOK_FIRST_S = 1.0
WAITING_LOOKS = 12  # a minute in which no worker has taken the run

_WORKING_DIRECTORY = "prefect.deployments.steps.set_working_directory"
_LEFT_TO_US = {"as_of", "overwrite_newer", "again"}


class UnknownExport(BackfillRefused):
    """The Prefect server has no saved export of that name."""


@dataclass(frozen=True, slots=True)
class SavedExport:
    """A saved export: its settings, and the folder that its runs start in, if it names one."""

    request: ExportRequest
    folder: Path | None


async def read_saved_export(name: str, *, needs_queue: bool = True) -> SavedExport:
    """Read the settings of a saved export from the Prefect server.

    Raises:
        UnknownExport: there is none of that name.
        BackfillRefused: runs of a backfill cannot wait for others.
    """
    async with get_client() as client:
        try:
            deployment = await client.read_deployment_by_name(f"{EXPORT_FLOW}/{name}")
        except ObjectNotFound:
            raise UnknownExport(await _explain_unknown(client, name)) from None
        if needs_queue:
            _require_waiting(name, deployment)
            await _require_queue(client, deployment.work_pool_name)
    try:
        request = ExportRequest.model_validate(deployment.parameters.get("request"))
    except ValidationError:
        raise BackfillRefused(
            f"The saved export “{name}” holds settings that this version does not take: deploy it "
            "again with `segment-export deploy`."
        ) from None
    return SavedExport(request, _find_folder(deployment))


async def _explain_unknown(client: PrefectClient, name: str) -> str:
    of_exports = FlowFilter(name=FlowFilterName(any_=[EXPORT_FLOW]))
    names = [one.name for one in await client.read_deployments(flow_filter=of_exports)]
    near = get_close_matches(name, names, n=3)
    if near:
        hint = f"Did you mean {' or '.join(near)}?"
    elif names:
        hint = f"There are: {', '.join(sorted(names))}."
    else:
        hint = "There is none yet: `segment-export deploy` puts those of prefect.yaml there."
    return f"There is no saved export “{name}” on the Prefect server. {hint}"


async def _require_queue(client: PrefectClient, pool: str | None) -> None:
    try:
        await client.read_work_queue_by_name(QUEUE, work_pool_name=pool or "default")
    except ObjectNotFound:
        raise BackfillRefused(
            f"Runs of a backfill wait in a queue of their own, and the work pool {pool} has no "
            f"queue {QUEUE}: `segment-export deploy` makes it."
        ) from None


def _require_waiting(name: str, deployment: DeploymentResponse) -> None:
    """Make sure that runs of the saved export wait for one another.

    Where one that overlaps is skipped, a backfill would have nightly runs cancelled, and they its.
    """
    options = deployment.concurrency_options
    if options and options.collision_strategy is ConcurrencyLimitStrategy.CANCEL_NEW:
        raise BackfillRefused(
            f"Runs of the saved export “{name}” that overlap are skipped, so a backfill would "
            "cancel its nightly runs and they the backfill's: save it with --overlap wait, or give "
            "the export's own options in place of --export, which delivers in this process."
        )


def _find_folder(deployment: DeploymentResponse) -> Path | None:
    for step in deployment.pull_steps or []:
        if _WORKING_DIRECTORY in step:
            return Path(step[_WORKING_DIRECTORY].get("directory", ""))
    return None


async def deliver_through(
    backfill: Backfill,
    snapshot: Snapshot,
    *,
    on_begin: Callable[[Snapshot], Awaitable[None]],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Snapshot:
    """Have a worker deliver a snapshot, or find it at that already, and wait for the end.

    A snapshot's run has a key of the snapshot and the run before: asked for twice, by two at once
    or after a kill, it is one run. Where a paused pool lets nothing begin, the backfill stops.
    """
    async with get_client() as client:
        if snapshot.state is not SnapshotState.UNDER_WAY:
            try:
                deployment = await client.read_deployment_by_name(
                    f"{EXPORT_FLOW}/{backfill.export}"
                )
                await let_others_go_first(client, deployment, backfill, sleep)
                if backfill.stop:
                    return snapshot
                run = await _submit(backfill, snapshot)
            except ObjectNotFound:
                return _end(
                    snapshot,
                    SnapshotState.FAILED,
                    f"The saved export “{backfill.export}” was removed meanwhile: deploy it again.",
                )
            except httpx.HTTPError as error:
                return _end(snapshot, SnapshotState.FAILED, _phrase_refusal(error))
            snapshot = snapshot.model_copy(
                update={
                    "state": SnapshotState.UNDER_WAY,
                    "run_id": str(run.id),
                    "run_name": run.name,
                    "attempts": snapshot.attempts + 1,
                }
            )
            backfill.settle(snapshot)
        await on_begin(snapshot)
        return await _wait(client, backfill, snapshot, sleep)


async def _submit(backfill: Backfill, snapshot: Snapshot) -> FlowRun:
    tags = tag_run(backfill.backfill_id, snapshot.date, snapshot.delivery)
    return await arun_deployment(
        f"{EXPORT_FLOW}/{backfill.export}",
        parameters={"request": _parameters(backfill, snapshot)},
        timeout=0,
        as_subflow=False,
        tags=[*tags, tag_range(backfill.asked)],
        idempotency_key=":".join([*tags[1:], snapshot.run_id or "first"]),
        flow_run_name=f"{backfill.export} {snapshot.date}",
        work_queue_name=QUEUE,
    )


def _phrase_refusal(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return (
            f"Prefect did not make its run (HTTP {error.response.status_code}); deploy the saved "
            "export again."
        )
    return f"Prefect's API did not answer when its run was to be made ({type(error).__name__})."


def _parameters(backfill: Backfill, snapshot: Snapshot) -> dict[str, Any]:
    """Give the saved settings as they are, but for the snapshot's date."""
    kept = backfill.template.model_dump(mode="json", exclude_defaults=True, exclude=_LEFT_TO_US)
    newer = {"overwrite_newer": True} if backfill.overwrites_newer else {}
    named = backfill.report_dir(snapshot.date)
    report = {"report_dir": named} if named else {}
    return {**kept, "as_of": snapshot.date, **newer, **report}


async def _wait(
    client: PrefectClient,
    backfill: Backfill,
    snapshot: Snapshot,
    sleep: Callable[[float], Awaitable[None]],
) -> Snapshot:
    silent, waiting, every_s = 0, 0, LOOK_FIRST_S
    while True:
        try:
            run = await client.read_flow_run(snapshot.run_id)  # type: ignore[arg-type]  # an id as text will do
            is_waiting = run.state is None or run.state.is_scheduled()
            if is_waiting and (stop := await find_pause(client, run.work_pool_name)):
                backfill.stop = stop
                return snapshot
        except ObjectNotFound:
            return _end(snapshot, SnapshotState.FAILED, "Its run was removed.")
        except httpx.HTTPError as error:
            silent += 1
            if silent > SILENT_LOOKS:
                words = f"Prefect's API is silent ({type(error).__name__}); its run may go on."
                return _end(snapshot, SnapshotState.FAILED, words)
            await sleep(LOOK_EVERY_S)
            continue
        silent = 0
        state = run.state
        if state is not None and state.is_final():
            is_delivered = state.type is StateType.COMPLETED
            how = SnapshotState.DELIVERED if is_delivered else SnapshotState.FAILED
            # Once it began it has another name.
            known = {
                "run_name": run.name,
                "lacks_quota": lacks_quota(run),
                "was_cancelled": state.is_cancelled(),
            }
            named = snapshot.model_copy(update=known)
            return _end(named, how, state.message or state.type.value.lower())
        if is_waiting:
            waiting += 1
            if waiting == WAITING_LOOKS:
                backfill.listener.on_note(
                    f"The run {run.name} waits for a worker of the pool {run.work_pool_name}."
                )
        await sleep(every_s)
        every_s = min(LOOK_EVERY_S, every_s * 1.5)


def _end(snapshot: Snapshot, state: SnapshotState, message: str) -> Snapshot:
    return snapshot.model_copy(update={"state": state, "message": message})
