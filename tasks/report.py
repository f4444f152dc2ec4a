"""Conclude a run: decide what it amounts to, and write the report for people."""

import asyncio
from contextlib import suppress
from pathlib import Path

from prefect.artifacts import acreate_markdown_artifact

from pipeline import ReportUnwritable
from pipeline.outcome import add_up, decide_status, find_imbalance, phrase_outcome
from pipeline.private_files import write_private_file
from schemas.outcome import Counts, ExportOutcome, Status
from tasks.events import recall_past, tell_end
from tasks.history import ExportPast, PastRun, judge_outcome, keep_history, to_past_run
from tasks.preparation import count_verdicts
from tasks.quota_label import label_lack_of_quota
from tasks.refusals import report_refusals
from tasks.report_text import RunFacts, describe_source, list_page, render_report
from tasks.role_addresses import note_role_addresses
from tasks.session import ExportSession, current_session
from tasks.step import step
from tasks.stops import STOPPED
from tasks.tolerance import tolerating_prefect
from tasks.undisturbed import undisturbed

REPORT_ARTIFACT_KEY = "export-report"
REPORT_FILE = "report.md"
OUTCOME_FILE = "outcome.json"
SETTLING_S = 60.0  # what is left for it when somebody stops the run meanwhile
SETTLING_ANEW_S = 20.0


@step("write-report", run_name="Reconcile and report")
async def write_report() -> ExportOutcome:
    """Compare what was sent with what Constant Contact counted, and write the report."""
    return await settle_outcome(current_session())


async def settle_surely(session: ExportSession) -> ExportOutcome:
    """Write the report, whatever stops the run meanwhile: what was delivered is to be told.

    Raises:
        asyncio.CancelledError: it was stopped meanwhile, which goes on as the caller wishes; the
            outcome has been told. A run that has ended well has nothing left to stop.
    """
    try:
        return await undisturbed(write_report(), limit_s=SETTLING_S)
    except asyncio.CancelledError:
        # A loop that ends cancels all of its tasks at once, the one that writes the report too.
        outcome = session.outcome or await _settle_anew(session)
        if not (session.handover.ends_when_stopped or outcome.ended_well):
            raise
        return outcome


async def _settle_anew(session: ExportSession) -> ExportOutcome:
    with suppress(TimeoutError):
        async with asyncio.timeout(SETTLING_ANEW_S):
            return await settle_outcome(session)
    return _tell(session, conclude(session))


async def settle_outcome(session: ExportSession) -> ExportOutcome:
    """Conclude a run, write its report and show it in Prefect."""
    if not session.has_told_refusals:
        session.has_told_refusals = True
        await report_refusals(session)
    outcome = conclude(session)
    session.has_ended_well = outcome.ended_well
    past = await recall_past(session)
    result = judge_outcome(
        outcome,
        warn_rejects_percent=session.request.warn_rejects_percent,
        was_stopped=session.stop == STOPPED,
    )
    this_run = to_past_run(outcome, result, run_id=past.run_id)
    facts = RunFacts(
        list_name=session.list_name,
        list_url=list_page(session.api_url, session.list_id),
        source=describe_source(session.request),
        window_minutes=session.request.window_minutes,
        used_today=await _count_requests_of_today(session),
        daily=session.quota.daily if session.quota else None,
        this_run=this_run,
        run_before=past.last,
    )
    markdown = render_report(outcome, facts)
    if session.report_dir is not None:
        try:
            write_private_file(session.report_dir / REPORT_FILE, markdown)
            write_private_file(
                session.report_dir / OUTCOME_FILE, outcome.model_dump_json(indent=2) + "\n"
            )
        except ReportUnwritable as error:
            # What was delivered is delivered: the outcome must not get lost with its report.
            notes = (*outcome.notes, f"The report could not be written. {error}")
            outcome = outcome.model_copy(update={"report_path": None, "notes": notes})
    await _show(session, past, outcome, this_run, markdown)
    if outcome.lacks_quota and past.run_id:
        await label_lack_of_quota(past.run_id)
    return _tell(session, outcome)


def _tell(session: ExportSession, outcome: ExportOutcome) -> ExportOutcome:
    session.outcome = outcome
    session.handover.on_outcome(outcome)
    return outcome


async def _show(
    session: ExportSession, past: ExportPast, outcome: ExportOutcome, this_run: PastRun, text: str
) -> None:
    """Show a run in Prefect under the keys of its export, comparable from run to run."""
    if not past.run_id:
        return
    async with tolerating_prefect():
        await acreate_markdown_artifact(
            text, key=f"{REPORT_ARTIFACT_KEY}-{past.slug}", description=outcome.message
        )
    await keep_history(past, this_run)
    tell_end(session, outcome, this_run.result)


async def _count_requests_of_today(session: ExportSession) -> int | None:
    used = None
    if session.quota is not None:
        async with tolerating_prefect("the question about the day's requests"):
            used = await session.quota.count_used()
    return used


def conclude(session: ExportSession) -> ExportOutcome:
    """Put together everything that is known of a run, however far it came."""
    prepared = session.prepared
    is_refused = session.stop is not None and session.stop.is_refusal and not session.has_uploaded
    # A refused run has delivered nothing, and so tells of no contacts and no batches.
    listed = () if is_refused else sorted(session.batches)
    batches = tuple(session.batches[key] for key in listed)
    judged = count_verdicts(prepared) if prepared and not is_refused else Counts()
    counts = add_up(judged, batches)
    imbalance = find_imbalance(counts, batches, all_cut=session.all_cut)
    if session.stop is not None and is_refused:
        status, message = Status.FAILED, session.stop.reason
    else:
        status = decide_status(
            counts,
            batches,
            stop=session.stop,
            imbalance=imbalance,
            has_waited=session.has_waited,
        )
        message = phrase_outcome(
            status,
            counts,
            batches,
            list_name=session.list_name,
            stop=session.stop,
            imbalance=imbalance,
            is_repeat=session.request.again,
        )
    if not is_refused:
        note_role_addresses(session)
    if any(batch.unexplained_errors for batch in batches):
        session.note(
            "Constant Contact gave more error messages than its counters tell of; look at the "
            "activities in question in Constant Contact."
        )
    verdicts = prepared.verdicts if prepared and not is_refused else None
    return ExportOutcome(
        status=status,
        message=message,
        refused=is_refused,
        lacks_quota=session.stop is not None and session.stop.is_for_quota,
        delivery=session.delivery,
        list_id=session.list_id or session.request.list_id,
        started_at=session.started_at,
        finished_at=session.now(),
        counts=counts,
        reject_reasons=verdicts.reject_reasons if verdicts else {},
        amend_reasons=verdicts.amend_reasons if verdicts else {},
        batches=batches,
        requests=session.request_counts,
        rejects_path=_text(verdicts.rejects_path) if verdicts else None,
        amended_path=_text(verdicts.amended_path) if verdicts else None,
        not_imported_path=_text(session.not_imported_path),
        report_path=_text(session.report_dir and session.report_dir / REPORT_FILE),
        notes=tuple(session.notes),
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
