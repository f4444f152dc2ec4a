"""The report of a run as Markdown: counts and names of files, no personal data."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from schemas.export import ExportRequest
from schemas.outcome import BatchOutcome, ExportOutcome
from tasks.history import PastRun

BATCHES_SHOWN = 250
LIST_PAGE = "https://app.constantcontact.com/pages/contacts/ui/lists/{list_id}"


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a report tells beside the outcome: what a run had at its disposal, and its past.

    `used_today` and `daily` are the requests under the API key, by whomever; None where unknown.
    """

    list_name: str = ""
    list_url: str = ""
    source: str = ""
    window_minutes: float = 0
    used_today: int | None = None
    daily: int | None = None
    this_run: PastRun | None = None
    run_before: PastRun | None = None


def list_page(api_url: str, list_id: str) -> str:
    """Give the address of a list in Constant Contact's web application; a sandbox has none."""
    host = urlsplit(api_url).hostname or ""
    is_real = host in {"api.cc.email", "api.constantcontact.com"}
    return LIST_PAGE.format(list_id=list_id) if is_real and list_id else ""


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


def render_report(outcome: ExportOutcome, facts: RunFacts) -> str:
    """Render an outcome as Markdown; counts and file names only, no personal data."""
    counts = outcome.counts
    not_sent = outcome.reject_reasons | (
        {"duplicate_email": counts.duplicates} if counts.duplicates else {}
    )
    took_s = (outcome.finished_at - outcome.started_at).total_seconds()
    sections = [
        f"# {outcome.message}",
        (
            f"Status **{outcome.status.value}** · list “{facts.list_name}” "
            f"(`{outcome.list_id}`) · "
            f"delivery `{outcome.delivery}` · started {outcome.started_at:%Y-%m-%d %H:%M:%S} UTC "
            f"· took {took_s:,.0f} s"
        ),
        *([f"[Open the list in Constant Contact]({facts.list_url})"] if facts.list_url else []),
        *([facts.source] if facts.source else []),
        *_comparison(facts),
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
        "## Requests and window",
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
        _describe_limits(facts, took_s),
        *(["## Notes", "\n".join(f"- {note}" for note in outcome.notes)] if outcome.notes else []),
    ]
    if outcome.rejects_path:
        sections.append(f"Who was not sent, and why: `{outcome.rejects_path}`")
    if outcome.amended_path and counts.amended:
        sections.append(f"Whose fields were left out, and why: `{outcome.amended_path}`")
    if outcome.not_imported_path:
        sections.append(
            "Whom Constant Contact names, in an accepted file, as errors or unsubscribed: "
            f"`{outcome.not_imported_path}`"
        )
    return "\n\n".join(section for section in sections if section) + "\n"


def _describe_limits(facts: RunFacts, took_s: float) -> str:
    """Say how much of the window and of the day's quota is used."""
    told = []
    if facts.window_minutes:
        minutes = took_s / 60
        share = minutes / facts.window_minutes
        told.append(
            f"{minutes:,.1f} of the window's {facts.window_minutes:,g} minutes ({share:.0%})"
        )
    if facts.used_today is not None and facts.daily:
        share = facts.used_today / facts.daily
        told.append(
            f"{facts.used_today:,} of today's {facts.daily:,} requests under this API key, by "
            f"all exports ({share:.0%})"
        )
    return f"Used: {'; '.join(told)}." if told else ""


def _comparison(facts: RunFacts) -> list[str]:
    """Compare a run with the one before."""
    this, before = facts.this_run, facts.run_before
    if this is None or before is None:
        return []
    heading = "## Compared with the run before"
    sentence = f"It ended {before.ended}: {before.result.value}."
    if before.sent is None:
        return [heading, f"{sentence} It counted nothing."]
    names = ("sent", "rejected", "duplicates", "imported", "requests", "seconds")
    rows = []
    for name in names:
        now, then = getattr(this, name) or 0, getattr(before, name) or 0
        rows.append((name, now, then, f"{now - then:+,}" if now != then else "–"))
    return [heading, sentence, _table(("", "this run", "the run before", "change"), rows)]


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
