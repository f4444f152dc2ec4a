"""Put findings into the tables of docs/reliability.md."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tests.reliability.cases import Ending, Finding
from tests.reliability.processes import Sample
from tests.reliability.soak import Soak

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
HEADINGS = (
    "Run", "Request", "What goes wrong", "Cases", "Delivered at once", "Delivered by running again",
    "Needs a person, and says so", "Sent again as documented", "Differences", "Accepted twice",
)  # fmt: skip
OPERATIONS = {
    "token": "refresh the sign-in",
    "list": "read the list",
    "custom_fields": "read the custom fields",
    "activities": "read the activities: journal and polls",
    "file_import": "import a batch",
}


def tabulate(findings: Iterable[Finding]) -> str:
    """Return a Markdown table: one row for each operation and kind of trouble, and the sum."""
    rows: dict[tuple[str, str, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        rows[finding.phase, OPERATIONS[finding.operation], finding.group].append(finding)
    every = [finding for found in rows.values() for finding in found]
    order = list(OPERATIONS.values())
    cells = [
        (*key, *_count(found))
        for key, found in sorted(rows.items(), key=lambda row: (row[0][0], order.index(row[0][1])))
    ]
    cells.append(("**all**", "", "", *_count(every)))
    return "\n".join(
        [
            _row(HEADINGS),
            _row(("---", "---", "---", *["--:"] * 7)),
            *map(_row, cells),
        ]
    )


def describe_soak(soak: Soak, seed: int) -> str:
    """Return what came of a soak as a Markdown table."""
    endings = [finding.ending for finding in soak.findings]
    differences = sum(bool(finding.problems) for finding in soak.findings)
    twice = sum(bool(f.repeats) and not f.is_repeat_documented for f in soak.findings)
    rows = (
        ("Exports", f"{len(soak.findings):,}, in {len(soak.samples):,} runs (seed {seed})"),
        ("Delivered at once", f"{endings.count(Ending.AT_ONCE):,}"),
        ("Delivered by running again", f"{endings.count(Ending.BY_RUNNING_AGAIN):,}"),
        ("Delivered after connecting again", f"{endings.count(Ending.WITH_A_PERSON):,}"),
        ("Differences", f"{differences:,}"),
        ("Accepted twice", f"{twice:,}"),
        ("Memory, MiB: medians of the four quarters", _mib(soak, lambda it: it.memory_kib)),
        (
            "what of it the C library has given out, MiB",
            _mib(soak, lambda it: it.given_out_kib),
        ),
        (
            "Open files: medians of the four quarters",
            ", ".join(f"{files:.0f}" for files in soak.medians(lambda it: it.open_files)),
        ),
    )
    return "\n".join([_row(("", "")), _row(("---", "--:")), *map(_row, rows)])


def write_block(name: str, text: str, page: Path = PAGE) -> None:
    """Replace what stands between a block's markers.

    Raises:
        ValueError: the page has no such block.
    """
    begin, end = f"<!-- {name}: generated -->", f"<!-- {name}: end -->"
    before, found_begin, rest = page.read_text().partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise ValueError(f"{page} has no block {name!r}")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def _mib(soak: Soak, kib: Callable[[Sample], int]) -> str:
    return ", ".join(f"{median / 1024:,.0f}" for median in soak.medians(kib))


def _count(found: Sequence[Finding]) -> tuple[str, ...]:
    endings = [finding.ending for finding in found]
    numbers = (
        len(found),
        endings.count(Ending.AT_ONCE),
        endings.count(Ending.BY_RUNNING_AGAIN),
        endings.count(Ending.WITH_A_PERSON),
        sum(bool(finding.repeats) and finding.is_repeat_documented for finding in found),
        sum(bool(finding.problems) for finding in found),
        sum(bool(finding.repeats) and not finding.is_repeat_documented for finding in found),
    )
    return tuple(f"{number:,}" for number in numbers)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
