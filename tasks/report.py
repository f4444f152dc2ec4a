"""Conclude a run: decide what it amounts to, and write the report for people."""

from collections.abc import Sequence
from pathlib import Path

from prefect.artifacts import acreate_markdown_artifact

from pipeline import ReportUnwritable
from pipeline.outcome import add_up, decide_status, find_imbalance, phrase_outcome
from pipeline.private_files import write_private_file
from schemas.export import ExportRequest
from schemas.outcome import BatchOutcome, Counts, ExportOutcome, Status
from tasks.preparation import count_verdicts
from tasks.progress import tolerating_prefect
from tasks.refusals import report_refusals
from tasks.session import ExportSession, current_session
from tasks.step import step

REPORT_ARTIFACT_KEY = "export-report"
REPORT_FILE = "report.md"
OUTCOME_FILE = "outcome.json"
BATCHES_SHOWN = 250


@step("write-report", run_name="Reconcile and report")
async def write_report() -> ExportOutcome:
    """Compare what was sent with what Constant Contact counted, and write the report."""
    return await settle_outcome(current_session())


async def settle_outcome(session: ExportSession) -> ExportOutcome:
    """Conclude a run, write its report and show it in Prefect."""
    await report_refusals(session)
    outcome = conclude(session)
    session.has_ended_well = outcome.ended_well
    markdown = render_report(
        outcome, list_name=session.list_name, source=describe_source(session.request)
    )
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
    async with tolerating_prefect():
        await acreate_markdown_artifact(
            markdown, key=REPORT_ARTIFACT_KEY, description=outcome.message
        )
    session.handover.on_outcome(outcome)
    return outcome


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
        )
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


def describe_source(request: ExportRequest) -> str:
    """Say what was exported from where, and which column went where."""
    columns = [
        (request.email, "email"),
        (request.first_name, "first_name"),
        (request.last_name, "last_name"),
        *((attribute.column, attribute.heading) for attribute in request.attributes),
    ]
    mapping = ", ".join(f"`{column}` as `{heading}`" for column, heading in columns if column)
    segments = ", ".join(f"`{segment}`" for segment in request.segments)
    as_of = f" as of {request.as_of}" if request.as_of else ""
    return f"Segments {segments} of `{request.profiles}`{as_of}: {mapping}."


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def render_report(outcome: ExportOutcome, *, list_name: str, source: str = "") -> str:
    """Render an outcome as Markdown; counts and file names only, no personal data."""
    counts = outcome.counts
    not_sent = outcome.reject_reasons | (
        {"duplicate_email": counts.duplicates} if counts.duplicates else {}
    )
    took_s = (outcome.finished_at - outcome.started_at).total_seconds()
    sections = [
        f"# {outcome.message}",
        (
            f"Status **{outcome.status.value}** · list “{list_name}” (`{outcome.list_id}`) · "
            f"delivery `{outcome.delivery}` · started {outcome.started_at:%Y-%m-%d %H:%M:%S} UTC "
            f"· took {took_s:,.0f} s"
        ),
        *([source] if source else []),
        "## Profiles",
        _table(
            ("", "profiles"),
            [
                ("in the segments", counts.profiles_in_segment),
                ("sent", counts.sent),
                ("rejected", counts.rejected),
                ("duplicates", counts.duplicates),
                ("of those sent, amended", counts.amended),
            ],
        ),
        *_reasons("## Why profiles were not sent", not_sent),
        *_reasons("## Fields left out", outcome.amend_reasons),
        "## What Constant Contact counted",
        _table(
            ("", "contacts"),
            [
                ("imported", counts.imported),
                ("not added to the list (unsubscribed)", counts.cannot_add_to_list),
                ("errors", counts.api_errors),
                ("correctable errors", counts.api_correctable),
            ],
        ),
        f"## Batches ({len(outcome.batches):,})",
        _batch_table(outcome.batches),
        "## Requests",
        _table(
            ("", "requests"),
            [
                ("in all", outcome.requests.total),
                ("uploads", outcome.requests.uploads),
                ("polls", outcome.requests.polls),
                ("told to slow down", outcome.requests.throttled),
                ("repeated", outcome.requests.retried),
            ],
        ),
        *(["## Notes", "\n".join(f"- {note}" for note in outcome.notes)] if outcome.notes else []),
    ]
    if outcome.rejects_path:
        sections.append(f"Who was not sent, and why: `{outcome.rejects_path}`")
    if outcome.amended_path and counts.amended:
        sections.append(f"Whose fields were left out, and why: `{outcome.amended_path}`")
    if outcome.not_imported_path:
        sections.append(
            "Whom Constant Contact names as errors of an accepted file: "
            f"`{outcome.not_imported_path}`"
        )
    return "\n\n".join(sections) + "\n"


def _reasons(heading: str, reasons: dict[str, int]) -> list[str]:
    if not reasons:
        return []
    most_first = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return [heading, _table(("reason", "how many"), [(f"`{r}`", n) for r, n in most_first])]


def _batch_table(batches: tuple[BatchOutcome, ...]) -> str:
    if not batches:
        return "None."
    rows = [
        (
            f"`{batch.file_name}`",
            batch.rows,
            batch.bytes,
            f"{batch.state.value}{' (earlier run)' if batch.already_accepted else ''}",
            f"`{batch.activity_id}`" if batch.activity_id else "–",
            "–" if batch.person_count is None else batch.person_count,
        )
        for batch in batches[:BATCHES_SHOWN]
    ]
    table = _table(("file", "contacts", "bytes", "state", "activity", "imported"), rows)
    hidden = len(batches) - BATCHES_SHOWN
    return f"{table}\n\n… and {hidden:,} more." if hidden > 0 else table


def _table(header: tuple[str, ...], rows: Sequence[tuple[str | int, ...]]) -> str:
    alignment = ["---" if column == 0 else "---:" for column in range(len(header))]
    lines = [header, alignment, *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(cell: str | int) -> str:
    return f"{cell:,}" if isinstance(cell, int) else cell
