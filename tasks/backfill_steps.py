"""The steps of a backfill as a person sees them in Prefect."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from schemas.backfill import Snapshot
from tasks.backfill import Backfill, choose_next, conclude_backfill, current_backfill, note_end
from tasks.backfill_plan import plan_snapshots
from tasks.backfill_runs import deliver_through
from tasks.backfill_tables import show_plan
from tasks.step import name_defect, step
from tasks.stops import EXPORT_ERRORS, explain_stop


@step("plan-backfill", run_name="Plan the backfill")
async def make_plan() -> None:
    """Work out where every snapshot stands, and show it."""
    await plan_and_tell(current_backfill())


async def plan_and_tell(backfill: Backfill) -> None:
    """Plan a backfill, and show the plan to whoever follows it."""
    await plan_snapshots(backfill)
    plan = conclude_backfill(backfill, is_plan=True)
    await show_plan(plan)
    backfill.listener.on_plan(plan)


@step("deliver-snapshot", run_name="Deliver the snapshot of {as_of}")
async def deliver_snapshot(as_of: str) -> Snapshot:
    """Have a worker deliver one snapshot, and wait until that has ended."""
    backfill = current_backfill()
    snapshot = next(one for one in backfill.snapshots if one.date == as_of)

    async def tell(begun: Snapshot) -> None:
        backfill.listener.on_note(f"Snapshot {as_of}: run {begun.run_name}.")
        await show_status(backfill)

    return await deliver_through(backfill, snapshot, on_begin=tell)


async def deliver_elsewhere(snapshot: Snapshot) -> Snapshot:
    """Deliver one snapshot through a worker, as a task that a person sees."""
    return await deliver_snapshot(snapshot.date)


async def deliver_snapshots(
    backfill: Backfill, deliver: Callable[[Snapshot], Awaitable[Snapshot]] = deliver_elsewhere
) -> None:
    """Deliver every snapshot that is due, the next only when the one before has ended.

    What keeps the backfill from going on is noted in it, so that it ends with what is delivered.
    """
    try:
        await show_status(backfill)
        while (snapshot := await choose_next(backfill, now=utc_now)) is not None:
            ended = await deliver(snapshot)
            note_end(backfill, ended)
            backfill.listener.on_note(f"Snapshot {ended.date}: {ended.message or backfill.stop}")
            await show_status(backfill)
        await show_status(backfill)
    except EXPORT_ERRORS as error:
        backfill.stop = explain_stop(error).reason
    except Exception as error:  # noqa: BLE001 -- what is delivered is to be told even then
        backfill.stop = explain_stop(name_defect(error)).reason


async def show_status(backfill: Backfill) -> None:
    """Bring the status table in Prefect up to date."""
    await backfill.table.show(conclude_backfill(backfill))


def utc_now() -> datetime:
    """Tell the time."""
    return datetime.now(UTC)
