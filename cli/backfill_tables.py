"""A backfill as a person reads it on a terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.backfill import BackfillOutcome, SnapshotState
from tasks.backfill_tables import tell_state

COLOURS = {
    SnapshotState.DELIVERED: "green",
    SnapshotState.UNDER_WAY: "cyan",
    SnapshotState.FAILED: "red",
    SnapshotState.MISSING: "yellow",
    SnapshotState.UNREADABLE: "red",
    SnapshotState.OVERTAKEN: "yellow",
}


def print_plan(plan: BackfillOutcome, console: Console) -> None:
    """Print what a backfill would do: each snapshot, then all of it in a sentence."""
    table = _table("contacts at most", "requests about", "day", "remark")
    for one in plan.snapshots:
        table.add_row(
            one.date,
            _state(one.state),
            f"{one.rows:,}" if one.rows else "",
            f"{one.requests:,}" if one.requests else "",
            f"{one.day:,}" if one.day else "",
            Text(one.message),
        )
    console.print(table)
    requests = plan.requests
    used = f"{requests.used_today:,} of today's {requests.daily:,} requests are used."
    console.print(Text(f"{plan.message} {used}"), soft_wrap=True)


def print_status(outcome: BackfillOutcome, console: Console) -> None:
    """Print where each snapshot of a backfill stands, then all of it in a sentence."""
    table = _table("runs", "last run", "what came of it")
    for one in outcome.snapshots:
        table.add_row(
            one.date,
            _state(one.state),
            f"{one.attempts:,}" if one.attempts else "",
            Text(one.run_name),
            Text(one.message),
        )
    console.print(table)
    console.print(Text(outcome.message), soft_wrap=True)


def _table(*further: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("snapshot", "state", *further):
        table.add_column(heading, overflow="fold")
    return table


def _state(state: SnapshotState) -> Text:
    return Text(tell_state(state), style=COLOURS.get(state, ""))
