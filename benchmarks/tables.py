"""Results as Markdown tables."""

from collections.abc import Iterable, Sequence


def markdown_table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Lay out a table: the first column is text, the others are figures."""
    rule = ["---", *("---:" for _ in columns[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, rule, *lines))
