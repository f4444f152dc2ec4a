"""The snapshots of a range: their dates, and what is there of each."""

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from pipeline.errors import MappingInvalid, PipelineError, SourceMissing
from pipeline.preparation import Source, open_source
from schemas.backfill import SnapshotRange
from schemas.export import ExportRequest

_MONTHS = 12


@dataclass(frozen=True, slots=True)
class Finding:
    """What is there of one snapshot: its source, or why there is none to read."""

    date: str
    source: Source | None = None
    is_missing: bool = False
    trouble: str = ""


def iter_dates(asked: SnapshotRange) -> Iterator[date]:
    """Yield the dates of a range, oldest first.

    Months are counted from the first date: what begins on the 31st has the last day of a shorter
    month.
    """
    first, last = date.fromisoformat(asked.first_date), date.fromisoformat(asked.last_date)
    if asked.every == "month":
        months = (last.year - first.year) * _MONTHS + last.month - first.month
        found = (_add_months(first, step) for step in range(months + 1))
    else:
        days = range(0, (last - first).days + 1, 7 if asked.every == "week" else 1)
        found = (first + timedelta(days=step) for step in days)
    yield from (one for one in found if one <= last)


def find_snapshot(dated: ExportRequest) -> Finding:
    """Find the files of a snapshot, reading footers only.

    Raises MappingInvalid: the settings make no sense, whatever the date.
    """
    try:
        return Finding(dated.as_of, source=open_source(dated))
    except MappingInvalid:
        raise
    except SourceMissing as error:
        return Finding(dated.as_of, is_missing=True, trouble=str(error))
    except PipelineError as error:
        return Finding(dated.as_of, trouble=str(error))


def _add_months(first: date, months: int) -> date:
    years, month = divmod(first.month - 1 + months, _MONTHS)
    year, month = first.year + years, month + 1
    return first.replace(year=year, month=month, day=min(first.day, monthrange(year, month)[1]))
