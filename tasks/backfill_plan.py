"""Plan a backfill: what there is of each snapshot, what is delivered, and what the rest needs."""

import asyncio
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from pipeline import MOST_CONTACT_LINES, Finding, find_snapshot, iter_dates, parse_batch_file_name
from schemas.backfill import Snapshot, SnapshotState
from tasks.backfill import Backfill, is_overtaken, overtake
from tasks.backfill_records import Attempt, judge_attempts, read_attempts
from tasks.budget import LOOKUPS_EXPECTED, POLLS_EXPECTED, plan_batches
from tasks.connection import open_client
from tasks.destination import find_destination
from tasks.errors import BackfillRefused
from tasks.journal import Entry, take_over
from tasks.newest_mark import read_newest
from tasks.preparation import judge_profiles, settle_delivery
from tasks.quota import spread_over_days
from tasks.session import ExportSession, new_session


async def plan_snapshots(backfill: Backfill) -> None:
    """Work out where every snapshot of the range stands, sending nothing.

    Footers and the account's activities tell most of it; only a snapshot of which something is
    there already, unknown to Prefect, is prepared to see whether that is all of it.

    Raises what an export that is refused raises, and BackfillRefused for too many snapshots.
    """
    dates = list_dates(backfill)
    _require_folder(backfill)
    findings = await asyncio.to_thread(
        lambda: [find_snapshot(backfill.dated(as_of)) for as_of in dates]
    )
    attempts = await read_attempts(backfill.backfill_id)
    with new_session(backfill.dated(dates[0])) as session:
        async with open_client(session):
            await find_destination(session)
            backfill.list_id, backfill.list_name = session.list_id, session.list_name
            backfill.quota = session.quota
            if session.quota is not None:
                backfill.used_today = await session.quota.count_used()
            newest = await read_newest(session.list_id, backfill.template)
            journal = await _read_journal(session)
            backfill.snapshots = [
                await _judge(backfill, session, finding, journal, attempts.get(finding.date, ()))
                for finding in findings
            ]
    backfill.snapshots = _spread(backfill, _leave_out(backfill, newest))


def _require_folder(backfill: Backfill) -> None:
    """Refuse to look for snapshots where none can be: all of them would seem to be missing.

    Raises:
        BackfillRefused: the saved export starts in a folder of another machine.
    """
    folder = backfill.folder
    if folder is None or folder.is_dir():
        return
    paths = backfill.template.profiles, backfill.template.memberships
    if any(path and "://" not in path and not Path(path).is_absolute() for path in paths):
        raise BackfillRefused(
            f"Runs of the saved export “{backfill.export}” start in {folder}, which is not on this "
            "machine, so its snapshots cannot be found. Run the backfill where they are, or let a "
            "worker do it: the deployment `backfill` in Prefect's UI."
        )


def list_dates(backfill: Backfill) -> list[str]:
    """List the dates of the range.

    Raises:
        BackfillRefused: there are more than may be run.
    """
    if backfill.only_dates:
        return list(backfill.only_dates)
    dates = [found.isoformat() for found in iter_dates(backfill.asked)]
    if len(dates) > backfill.asked.max_runs:
        raise BackfillRefused(
            f"The range holds {len(dates):,} snapshots, each a run of its own, and at most "
            f"{backfill.asked.max_runs:,} are allowed: shorten it, or allow them with --max-runs "
            f"{len(dates)} (in the form: Most runs)."
        )
    return dates


async def _read_journal(session: ExportSession) -> dict[str, list[Entry]]:
    """Read what Constant Contact has accepted, by delivery."""
    journal: dict[str, list[Entry]] = {}
    async for activity in session.require_client().iter_activities():
        if (name := parse_batch_file_name(activity.source_file_name or "")) is not None:
            journal.setdefault(name.delivery, []).append((name, activity))
    return journal


async def _judge(
    backfill: Backfill,
    session: ExportSession,
    finding: Finding,
    journal: dict[str, list[Entry]],
    attempts: Sequence[Attempt],
) -> Snapshot:
    delivery = finding.source.delivery(session.list_id) if finding.source else ""
    state, last = judge_attempts(attempts, delivery, runs_elsewhere=backfill.runs_elsewhere)
    message = last.message if last else ""
    # A run that a worker has taken goes on, whatever has become of the files since.
    if finding.source is None and _may_change(state):
        state = SnapshotState.MISSING if finding.is_missing else SnapshotState.UNREADABLE
        message = finding.trouble
    entries = journal.get(delivery, [])
    if state.is_due and entries and await _is_complete(backfill, session, finding.date, entries):
        state, message = SnapshotState.DELIVERED, "Constant Contact has all of it."
    rows = finding.source.most_contacts if finding.source else 0
    return Snapshot(
        date=finding.date,
        state=state,
        delivery=delivery,
        rows=rows,
        requests=expect_requests(rows) if state.is_due else 0,
        attempts=sum(not delivery or one.delivery == delivery for one in attempts),
        run_name=last.run_name if last else "",
        run_id=last.run_id if last else "",
        message=message,
    )


async def _is_complete(
    backfill: Backfill, shared: ExportSession, as_of: str, entries: Sequence[Entry]
) -> bool:
    """Say whether everything of a delivery is imported, by preparing it.

    What is still being imported is not: the next snapshot would come in beside it.
    """
    if not all(activity.state.is_finished for _, activity in entries):
        return False
    with new_session(backfill.dated(as_of)) as session:
        session.client = shared.client
        session.list_id, session.list_name = shared.list_id, shared.list_name
        await judge_profiles(session)
        settle_delivery(session)
        take_over(session, entries)
        return all(batch.already_accepted for batch in await plan_batches(session))


def expect_requests(rows: int) -> int:
    """Tell how many requests a snapshot takes as a rule; batches of long contacts take more."""
    return -(-rows // MOST_CONTACT_LINES) + POLLS_EXPECTED + LOOKUPS_EXPECTED


def _leave_out(backfill: Backfill, newest: date | None) -> list[Snapshot]:
    """Leave out what is older than what the list has got."""
    if backfill.overwrites_newer:
        return backfill.snapshots
    return [
        overtake(snapshot, newest)
        if _may_change(snapshot.state) and is_overtaken(snapshot.date, newest)
        else snapshot
        for snapshot in backfill.snapshots
    ]


def _may_change(state: SnapshotState) -> bool:
    """Say whether a snapshot is due, and no run is under way that tells what becomes of it."""
    return state.is_due and state is not SnapshotState.UNDER_WAY


def _spread(backfill: Backfill, snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """Say on which day there is quota for each snapshot that is due."""
    if backfill.quota is None:
        return list(snapshots)
    days = iter(
        spread_over_days(
            [snapshot.requests for snapshot in snapshots if snapshot.state.is_due],
            used=backfill.used_today,
            daily=backfill.quota.daily,
        )
    )
    return [
        snapshot.model_copy(update={"day": next(days)}) if snapshot.state.is_due else snapshot
        for snapshot in snapshots
    ]
