"""Work out what an export would do, without sending anything."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from constant_contact import REQUEST_INTERVAL_S, Activity, ActivityState
from schemas.plan import ExportPlan, PlannedBatch, PlannedRequests, PlannedTime
from tasks.budget import plan_batches, plan_requests
from tasks.destination import find_destination
from tasks.journal import consult_journal
from tasks.newest import find_overtaken
from tasks.preparation import count_verdicts, judge_profiles, settle_delivery
from tasks.quota import forecast_quota
from tasks.role_addresses import note_role_addresses
from tasks.session import ExportSession


async def plan_export(session: ExportSession) -> ExportPlan:
    """Take the steps of an export up to the first upload, and say what would follow.

    Raises what a run that is refused raises: PipelineError, ConstantContactError, ExportRefused.
    """
    await find_destination(session)
    await judge_profiles(session)
    settle_delivery(session)
    await consult_journal(session, is_to_send=False)
    batches = await plan_batches(session)
    note_role_addresses(session)
    requests = await plan_requests(session, batches)
    time = PlannedTime(
        upload_s=round(requests.uploads * REQUEST_INTERVAL_S, 1),
        import_s=await _expect_import_s(session, batches),
        window_s=session.request.window_minutes * 60,
    )
    overtaken, quota = "", None
    if requests.uploads:  # else a run has nothing to do, however little is left of the day
        overtaken = await find_overtaken(session)
        quota = forecast_quota(
            requests.needed, used=requests.used_today, daily=requests.daily, now=session.now()
        )
    obstacle = overtaken or quota or _find_obstacle(time)
    prepared = session.require_prepared()
    verdicts = prepared.verdicts
    return ExportPlan(
        message=_phrase(session, batches, requests, time),
        obstacle=obstacle,
        refused=bool(overtaken or quota),
        delivery=session.delivery,
        list_id=session.list_id,
        list_name=session.list_name,
        counts=count_verdicts(prepared),
        reject_reasons=verdicts.reject_reasons,
        amend_reasons=verdicts.amend_reasons,
        batches=batches,
        requests=requests,
        time=time,
        rejects_path=str(verdicts.rejects_path) if verdicts.rejects_path else None,
        amended_path=str(verdicts.amended_path) if verdicts.amended_path else None,
        notes=tuple(session.notes),
    )


async def _expect_import_s(session: ExportSession, batches: Sequence[PlannedBatch]) -> float | None:
    """Estimate how long Constant Contact imports, by the imports that the account still shows."""
    to_import = sum(batch.rows for batch in batches if not batch.already_accepted)
    activities = [activity async for activity in session.require_client().iter_activities()]
    rate = contacts_per_second(activities)
    if not to_import:
        return 0.0
    return None if rate is None else round(to_import / rate, 1)


def contacts_per_second(activities: Iterable[Activity]) -> float | None:
    """Tell how many contacts were imported in each second in which any were; None if none were."""
    imports = sorted(
        (activity.created_at, activity.completed_at, activity.counters.items_total or 0)
        for activity in activities
        if activity.state is ActivityState.COMPLETED
        and activity.source_file_name
        and activity.created_at
        and activity.completed_at
    )
    busy_s, busy_until = 0.0, datetime.min.replace(tzinfo=UTC)
    for began, ended, _ in imports:
        busy_s += max(0.0, (ended - max(began, busy_until)).total_seconds())
        busy_until = max(busy_until, ended)
    contacts = sum(contacts for *_, contacts in imports)
    return contacts / busy_s if contacts and busy_s else None


def _find_obstacle(time: PlannedTime) -> str:
    if time.expected_s <= time.window_s:
        return ""
    return (
        f"It would take about {time.expected_s:,.1f} s after preparing, and the window has "
        f"{time.window_s:,.1f} s: raise --window-minutes, or run it again to continue."
    )


def _phrase(
    session: ExportSession,
    batches: Sequence[PlannedBatch],
    requests: PlannedRequests,
    time: PlannedTime,
) -> str:
    sent = session.require_prepared().verdicts.sent
    destination = f"list “{session.list_name}”"
    if not sent:
        return f"It would send nothing to {destination}: there are no contacts to send."
    unsent = [batch for batch in batches if not batch.already_accepted]
    if not unsent:
        is_busy = any(batch.state.is_under_way for batch in batches)
        return (
            f"It would send nothing: Constant Contact has accepted all {sent:,} contacts of this "
            f"delivery to {destination}{', and is still importing' if is_busy else ''}."
        )
    accepted = len(batches) - len(unsent)
    noun = "batch" if len(unsent) == 1 else "batches"
    took = f"in about {time.expected_s:,.0f} s"
    if time.import_s is None:
        took = f"in about {time.upload_s:,.0f} s, and as long as Constant Contact imports"
    return (
        f"It would send {sum(batch.rows for batch in unsent):,} contacts to {destination}: "
        f"{len(unsent):,} {noun}{f' ({accepted:,} more are there)' if accepted else ''}, up to "
        f"{requests.needed:,} requests, {took}."
    )
