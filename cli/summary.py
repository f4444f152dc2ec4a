"""The summary of an export that a person reads at the end of a command."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.outcome import Counts, ExportOutcome, Status

MARKS = {
    Status.COMPLETED: ("✓", "green"),
    Status.COMPLETED_WITH_REJECTS: ("✓", "green"),
    Status.NOTHING_TO_DO: ("✓", "green"),
    Status.INCOMPLETE: ("…", "yellow"),
    Status.FAILED: ("✗", "red"),
}


def print_summary(outcome: ExportOutcome, console: Console) -> None:
    """Print what came of an export: one sentence, the counts, where to look next."""
    console.print()
    console.print(
        Text.assemble(MARKS[outcome.status], " ", outcome.message), highlight=False, soft_wrap=True
    )
    counts = outcome.counts
    if counts.profiles_in_segment:
        called = "contacts sent" if outcome.ended_well else "contacts in the delivery"
        table = tell_verdicts(counts, outcome.reject_reasons, sent=called)
        if outcome.batches:
            table.add_row(f"{counts.imported:,}", "imported, as Constant Contact counts")
        table.add_row(f"{len(outcome.batches):,}", "batches in all")
        if earlier := sum(batch.already_accepted for batch in outcome.batches):
            table.add_row(f"{earlier:,}", "of them accepted from an earlier run")
        table.add_row(f"{outcome.requests.total:,}", "requests in all")
        console.print()
        console.print(table)
    for note in outcome.notes:
        console.print(f"\nNote: {note}", highlight=False, markup=False, soft_wrap=True)
    took_s = (outcome.finished_at - outcome.started_at).total_seconds()
    console.print()
    console.print(f"Took {took_s:,.1f} s.", highlight=False)
    for title, path in (
        ("Report", outcome.report_path),
        ("Rejects", outcome.rejects_path if counts.rejected or counts.duplicates else None),
        ("Amended", outcome.amended_path if counts.amended else None),
        ("Not imported", outcome.not_imported_path),
    ):
        if path:
            console.print(f"{title}: {path}", highlight=False, markup=False, soft_wrap=True)


def tell_verdicts(counts: Counts, reject_reasons: dict[str, int], *, sent: str) -> Table:
    """Tabulate what became of the profiles; `sent` says what those who go are called."""
    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column(justify="right")
    table.add_column()
    table.add_row(f"{counts.profiles_in_segment:,}", "profiles in the segments")
    table.add_row(f"{counts.sent:,}", sent)
    for reason, number in sorted(reject_reasons.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(f"{number:,}", f"not sent: {reason}")
    if counts.duplicates:
        table.add_row(f"{counts.duplicates:,}", "not sent: duplicate_email")
    if counts.amended:
        table.add_row(f"{counts.amended:,}", "sent without a field that broke its rule")
    return table
