"""What became of the profiles, and the law that none of them is lost."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pipeline.errors import ConservationBroken


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What becomes of the profiles in the segments, counted.

    Attributes:
        amended: contacts that go without some field; `amend_reasons` counts the fields.
        reject_reasons: rejected profiles by their first reason, so they add up to `rejected`.
        sent_rows: row numbers (u32) in the profiles, ascending.
    """

    profiles_in_segment: int
    sent: int
    rejected: int
    duplicates: int
    amended: int
    reject_reasons: dict[str, int]
    amend_reasons: dict[str, int]
    sent_rows: pl.Series
    rejects_path: Path | None = None
    amended_path: Path | None = None


def check_conservation(verdicts: Verdicts, reported_rows: int | None = None) -> None:
    """Raise ConservationBroken unless sent, rejected and duplicate make up the segments.

    Args:
        verdicts: the counts, and the rows to send.
        reported_rows: lines of the reject report, where there is one: one for each who stays.
    """
    total = verdicts.sent + verdicts.rejected + verdicts.duplicates
    holds = (
        reported_rows in (None, verdicts.rejected + verdicts.duplicates)
        and verdicts.profiles_in_segment == total
        and verdicts.sent == verdicts.sent_rows.len()
        and verdicts.rejected == sum(verdicts.reject_reasons.values())
    )
    if not holds:
        raise ConservationBroken(
            f"Of {verdicts.profiles_in_segment:,} profiles {verdicts.sent:,} would be sent, "
            f"{verdicts.rejected:,} rejected and {verdicts.duplicates:,} are duplicates, which "
            "does not add up: nothing is sent; please report this fault of segment-export."
        )
