"""Decide what becomes of every profile in the segments."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from constant_contact import WindowClosed
from pipeline import Prepared, prepare
from schemas.export import ExportRequest
from schemas.outcome import Counts
from tasks.session import ExportSession, Progress, Stage, current_session
from tasks.step import step


@step("prepare-contacts", run_name="Select, validate and de-duplicate contacts")
async def prepare_contacts() -> Counts:
    """Read the segments' members, judge every profile and write the list of rejects."""
    return await judge_profiles(current_session())


async def judge_profiles(session: ExportSession) -> Counts:
    """Prepare an export, or wait for the preparation that was begun before the run."""
    begun = session.handover.prepared
    if begun is not None:
        session.prepared = await asyncio.wrap_future(begun)
    else:
        session.prepared = await asyncio.to_thread(
            prepare_telling, session.request, session.report_dir, session.tell
        )
    return count_verdicts(session.prepared)


def settle_delivery(session: ExportSession) -> None:
    """Name the delivery, now that list and contacts are known.

    Raises:
        ContactAllowanceExceeded: the customer's contract does not allow as many contacts.
    """
    prepared = session.require_prepared()
    session.delivery = prepared.delivery(session.list_id)
    prepared.require_allowance(session.contact_allowance)
    if prepared.members_without_profile:
        session.note(
            "Members of the segments who have no profile, and are left out: "
            f"{prepared.members_without_profile:,}."
        )


def require_open_window(session: ExportSession) -> None:
    """Make sure that there is time left to send what has been prepared.

    Else each further run would cut all batches, send none, and end as this one.

    Raises:
        WindowClosed: preparing took until the window was over.
    """
    if session.now() < session.deadline or not session.require_prepared().verdicts.sent:
        return
    raise WindowClosed(
        f"The {session.request.window_minutes:g}-minute window was over when the contacts had been "
        "prepared, so that this run sent nothing. Run again as it is, it would end the same way: "
        "allow more --window-minutes (in the form: Window), put the profiles on faster storage, or "
        "export fewer of them."
    )


def prepare_telling(
    request: ExportRequest, report_dir: Path | None, tell: Callable[[Progress], None]
) -> Prepared:
    """Prepare an export, telling how many profiles have been read."""
    return prepare(
        request,
        report_dir=report_dir,
        on_progress=lambda done, total: tell(Progress(Stage.PREPARE, done, total, "profiles")),
    )


def count_verdicts(prepared: Prepared) -> Counts:
    """Count the profiles of an export by verdict."""
    verdicts = prepared.verdicts
    return Counts(
        profiles_in_segment=verdicts.profiles_in_segment,
        sent=verdicts.sent,
        rejected=verdicts.rejected,
        duplicates=verdicts.duplicates,
        amended=verdicts.amended,
    )
