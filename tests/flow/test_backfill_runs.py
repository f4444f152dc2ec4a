"""Runs of a backfill through a saved export: whose turn it is, pauses, removals, and repeats.

No worker takes part: between two looks the test does to the runs what a worker would.
"""

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import polars as pl
import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import (
    ConcurrencyLimitStrategy,
    ConcurrencyOptions,
    FlowRun,
    State,
    StateType,
)
from prefect.flow_engine import run_flow
from prefect.states import Scheduled

from flows.backfill_export import backfill_export
from flows.export_segment import export_segment
from schemas.backfill import (
    BackfillOutcome,
    BackfillRequest,
    Snapshot,
    SnapshotRange,
    SnapshotState,
)
from schemas.export import ExportRequest
from tasks.backfill import Backfill, BackfillListener, note_end
from tasks.backfill_records import read_attempts
from tasks.backfill_runs import deliver_through, read_saved_export
from tasks.errors import BackfillRefused
from tasks.quota_label import label_lack_of_quota
from tests.conftest import PrefectServer, World, using_prefect

DAY = "2026-03-01"
POOL = "backfilled"
EXPORT = "nightly"
MOST_LOOKS = 50
REQUEST: dict[str, Any] = {
    "connection": "c", "list_id": "l", "profiles": "{as_of}.parquet", "as_of": DAY,
    "segments": ["Gold"], "segments_column": "Segments", "email": "EMail",
}  # fmt: skip


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def client(prefect_server: PrefectServer) -> Iterator[SyncPrefectClient]:
    with using_prefect(prefect_server.api_url), get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        client.create_work_queue(name="backfill", work_pool_name=POOL)
        yield client
        client.delete_work_pool(POOL)


@flow(name="export-segment")
def nothing(request: dict[str, Any]) -> None:
    """Stand for an export; only its states matter here."""


@pytest.fixture
def save(client: SyncPrefectClient) -> Iterator[Callable[..., UUID]]:
    made: list[UUID] = []

    def save_one(
        strategy: ConcurrencyLimitStrategy = ConcurrencyLimitStrategy.ENQUEUE, **more: Any
    ) -> UUID:
        made.append(
            client.create_deployment(
                flow_id=client.create_flow(nothing),
                name=EXPORT,
                work_pool_name=POOL,
                parameters={"request": {**REQUEST, **more}},
                concurrency_limit=1,
                concurrency_options=ConcurrencyOptions(collision_strategy=strategy),
            )
        )
        return made[-1]

    yield save_one
    for one in made:
        for run in runs_of(client, one):
            client.delete_flow_run(run.id)
        if any(found.id == one for found in client.read_deployments()):
            client.delete_deployment(one)


def runs_of(client: SyncPrefectClient, deployment: UUID, tag: str = "") -> list[FlowRun]:
    return client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])),
        flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[tag])) if tag else None,
    )


def begin() -> tuple[Backfill, list[str]]:
    notes: list[str] = []
    backfill = Backfill(
        SnapshotRange(first_date=DAY, last_date=DAY, keep_going=True),
        ExportRequest(**REQUEST),
        export=EXPORT,
        runs_elsewhere=True,
        listener=BackfillListener(on_note=notes.append),
        snapshots=[Snapshot(date=DAY, state=SnapshotState.NOT_BEGUN, delivery="d")],
        list_id="l",
    )
    return backfill, notes


async def be_told(_: Snapshot) -> None:
    pass


def acting(*acts: Callable[[], object]) -> Callable[[float], Awaitable[None]]:
    """Do one thing at each look, in place of the time between two."""
    left = list(acts)
    looks = 0

    async def sleep(_: float) -> None:
        nonlocal looks
        looks += 1
        assert looks < MOST_LOOKS, "it waits for ever"
        if left:
            left.pop(0)()

    return sleep


def end_ours(
    client: SyncPrefectClient, deployment: UUID, kind: StateType = StateType.COMPLETED
) -> None:
    for run in runs_of(client, deployment, "backfill"):
        if run.state is None or not run.state.is_final():
            client.set_flow_run_state(run.id, State(type=kind), force=True)


@pytest.mark.anyio
async def test_saved_export_that_skips_what_overlaps_is_refused_saying_what_to_do(
    save: Callable[..., UUID],
) -> None:
    save(ConcurrencyLimitStrategy.CANCEL_NEW)
    with pytest.raises(BackfillRefused, match=r"--overlap wait.*in this process"):
        await read_saved_export(EXPORT)
    # Looking, or running in this process, cancels nothing.
    assert (await read_saved_export(EXPORT, needs_queue=False)).request.as_of == DAY


@pytest.mark.anyio
async def test_saved_export_whose_runs_wait_for_one_another_is_taken(
    save: Callable[..., UUID],
) -> None:
    save()
    assert (await read_saved_export(EXPORT)).request.as_of == DAY


@pytest.mark.anyio
@pytest.mark.parametrize(
    "waiting",
    [
        State(type=StateType.SCHEDULED, name="AwaitingConcurrencySlot"),
        State(type=StateType.SCHEDULED, name="Late"),
        State(type=StateType.PENDING),
        State(type=StateType.RUNNING),
    ],
    ids=lambda state: state.name,
)
async def test_run_of_the_same_export_that_is_due_or_under_way_goes_first(
    client: SyncPrefectClient, save: Callable[..., UUID], waiting: State
) -> None:
    deployment = save()
    nightly = client.create_flow_run_from_deployment(deployment, name="the nightly one")
    client.set_flow_run_state(nightly.id, waiting, force=True)
    client.create_flow_run_from_deployment(
        deployment, state=Scheduled(scheduled_time=datetime.now(UTC) + timedelta(days=1))
    )
    backfill, notes = begin()
    made_before: list[int] = []

    def look() -> None:
        made_before.append(len(runs_of(client, deployment, "backfill")))

    def end_nightly() -> None:
        look()
        client.set_flow_run_state(nightly.id, State(type=StateType.COMPLETED), force=True)

    ended = await deliver_through(
        backfill,
        backfill.snapshots[0],
        on_begin=be_told,
        sleep=acting(look, look, end_nightly, lambda: end_ours(client, deployment)),
    )
    assert made_before == [0, 0, 0]
    assert ended.state is SnapshotState.DELIVERED
    assert notes == ["The run the nightly one of the same export goes first."]


@pytest.mark.anyio
async def test_backfill_stops_where_who_goes_first_is_kept_from_it(
    client: SyncPrefectClient, save: Callable[..., UUID]
) -> None:
    deployment = save()
    nightly = client.create_flow_run_from_deployment(deployment, name="the nightly one")
    late = State(type=StateType.SCHEDULED, name="Late")
    client.set_flow_run_state(nightly.id, late, force=True)
    queue = client.read_flow_run(nightly.id).work_queue_id
    assert queue is not None
    client.request(
        "PATCH", "/work_queues/{id}", path_params={"id": queue}, json={"is_paused": True}
    )
    backfill, _ = begin()
    unsent = await deliver_through(
        backfill, backfill.snapshots[0], on_begin=be_told, sleep=acting()
    )
    assert unsent.state is SnapshotState.NOT_BEGUN
    assert "the nightly one of the same export is due, and goes first" in backfill.stop
    assert f"default of the pool {POOL} is paused" in backfill.stop


@pytest.mark.anyio
async def test_backfill_stops_where_the_pool_is_paused_and_finds_its_run_again(
    client: SyncPrefectClient, save: Callable[..., UUID]
) -> None:
    deployment = save()
    backfill, _ = begin()

    def pause() -> None:
        client.update_work_pool(POOL, WorkPoolUpdate(is_paused=True))

    looked = await deliver_through(
        backfill, backfill.snapshots[0], on_begin=be_told, sleep=acting(pause)
    )
    note_end(backfill, looked)
    assert looked.state is SnapshotState.UNDER_WAY
    assert backfill.stop == f"The work pool {POOL} is paused."
    (left,) = (await read_attempts(backfill.backfill_id))[DAY]
    assert not left.has_ended

    # One that begins while the pool is paused makes no run at all.
    other, _ = begin()
    end_ours(client, deployment, StateType.FAILED)
    unsent = await deliver_through(other, other.snapshots[0], on_begin=be_told, sleep=acting())
    assert unsent.state is SnapshotState.NOT_BEGUN
    assert other.stop == backfill.stop
    assert len(runs_of(client, deployment, "backfill")) == 1


@pytest.mark.anyio
async def test_saved_export_that_is_removed_meanwhile_is_no_defect(
    client: SyncPrefectClient, save: Callable[..., UUID]
) -> None:
    deployment = save()
    nightly = client.create_flow_run_from_deployment(deployment)
    client.set_flow_run_state(nightly.id, State(type=StateType.RUNNING), force=True)
    backfill, _ = begin()
    ended = await deliver_through(
        backfill,
        backfill.snapshots[0],
        on_begin=be_told,
        sleep=acting(lambda: client.delete_deployment(deployment)),
    )
    assert ended.state is SnapshotState.FAILED
    assert ended.message == f"The saved export “{EXPORT}” was removed meanwhile: deploy it again."


@pytest.mark.anyio
async def test_next_attempt_is_a_run_of_its_own_though_earlier_ones_were_removed(
    client: SyncPrefectClient, save: Callable[..., UUID]
) -> None:
    deployment = save()

    async def attempt(kind: StateType) -> Snapshot:
        backfill, _ = begin()
        known = (await read_attempts(backfill.backfill_id)).get(DAY, [])
        run_id = known[-1].run_id if known else ""
        start = backfill.snapshots[0].model_copy(
            update={"state": SnapshotState.FAILED, "run_id": run_id, "attempts": len(known)}
        )
        act = acting(lambda: end_ours(client, deployment, kind))
        return await deliver_through(backfill, start, on_begin=be_told, sleep=act)

    first = await attempt(StateType.FAILED)
    second = await attempt(StateType.FAILED)
    assert first.run_id != second.run_id
    client.delete_flow_run(UUID(first.run_id))
    third = await attempt(StateType.COMPLETED)
    assert third.run_id not in {first.run_id, second.run_id}
    assert third.state is SnapshotState.DELIVERED


@pytest.mark.anyio
async def test_run_that_ended_for_lack_of_quota_stops_a_backfill_that_keeps_going(
    client: SyncPrefectClient, save: Callable[..., UUID]
) -> None:
    deployment = save()
    backfill, _ = begin()
    backfill.asked = backfill.asked.model_copy(update={"keep_going": True})
    ids: list[str] = []

    async def label(begun: Snapshot) -> None:
        ids.append(begun.run_id)
        await label_lack_of_quota(begun.run_id)

    ended = await deliver_through(
        backfill,
        backfill.snapshots[0],
        on_begin=label,
        sleep=acting(lambda: end_ours(client, deployment, StateType.FAILED)),
    )
    note_end(backfill, ended)
    assert ended.lacks_quota
    assert backfill.stop


@pytest.mark.anyio
async def test_run_that_somebody_cancelled_stops_a_backfill_that_keeps_going(
    client: SyncPrefectClient, save: Callable[..., UUID]
) -> None:
    deployment = save()
    backfill, _ = begin()
    ended = await deliver_through(
        backfill,
        backfill.snapshots[0],
        on_begin=be_told,
        sleep=acting(lambda: end_ours(client, deployment, StateType.CANCELLED)),
    )
    note_end(backfill, ended)
    assert ended.state is SnapshotState.FAILED
    assert backfill.stop == f"The run of the snapshot of {DAY} was cancelled."
    assert backfill.was_stopped  # and so ends as Cancelled, of which nobody is notified


@pytest.fixture
def snapshot(world: World) -> dict[str, Any]:
    """The settings of an export that has the snapshot of one day, and no other."""
    folder = world.commands.folder
    pl.DataFrame(
        {
            "CustomerId": ["a"],
            "EMail": [f"a.{world.list_id[:8]}@example.com"],
            "Segments": [["Gold"]],
        }
    ).write_parquet(folder / f"{DAY}.parquet")
    return {
        "connection": world.connection,
        "list_id": world.list_id,
        "profiles": str(folder / "{as_of}.parquet"),
        "report_dir": str(folder / "report"),
    }


@pytest.mark.anyio
async def test_plan_from_the_form_is_completed_though_a_snapshot_is_missing(
    save: Callable[..., UUID], snapshot: dict[str, Any]
) -> None:
    save(**snapshot)
    asked = {"export": EXPORT, "first_date": DAY, "plan_only": True}
    state: State[Any] = await backfill_export(
        BackfillRequest(**asked, last_date="2026-03-02"), return_state=True
    )
    outcome = await state.aresult(raise_on_failure=False)
    assert isinstance(outcome, BackfillOutcome)
    assert [one.state for one in outcome.snapshots] == ["not_begun", "missing"]
    assert state.is_completed(), state.message
    refused: State[Any] = await backfill_export(
        BackfillRequest(**asked, last_date="2027-03-02"), return_state=True
    )
    assert refused.is_failed()


@pytest.mark.anyio
async def test_yesterday_is_that_of_the_day_for_which_a_run_was_scheduled(
    client: SyncPrefectClient, snapshot: dict[str, Any]
) -> None:
    request = ExportRequest(**{**REQUEST, **snapshot, "as_of": "yesterday"})
    late = client.create_flow_run(
        export_segment,
        parameters={"request": request.model_dump(mode="json")},
        state=Scheduled(scheduled_time=datetime(2026, 3, 2, 4, tzinfo=UTC)),
    )
    state: Any = await run_flow(
        export_segment,  # type: ignore[arg-type]  # Prefect's types want any awaitable, invariantly
        flow_run=late,
        parameters={"request": request},
        return_type="state",
    )
    assert state.is_completed(), state.message
    assert DAY in client.read_flow_run(late.id).name
