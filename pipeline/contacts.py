"""The verdict on every profile: sent, rejected or duplicate, each exactly one of them."""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import polars as pl

from pipeline.fields import field_columns, required_columns
from pipeline.mapping import ContactMapping, Selection
from pipeline.report import VerdictReport
from pipeline.source import Table
from pipeline.tally import Tally
from pipeline.verdicts import Verdicts

_log = logging.getLogger("segment_export.pipeline")

Progress = Callable[[int, int], None]


def judge(
    profiles: Table,
    member_rows: pl.Series,
    selection: Selection,
    mapping: ContactMapping,
    *,
    report_dir: Path | None = None,
    on_progress: Progress | None = None,
) -> Verdicts:
    """Decide what becomes of each member, and report who does not go and why.

    Args:
        profiles: the table of profiles.
        member_rows: ascending row numbers (u32) of the members.
        selection: names the key column.
        mapping: names the columns of the fields.
        report_dir: where to write `rejects.parquet` and `amended.parquet`; None only counts.
        on_progress: told rows done and rows in all after each slice.

    Raises KeysNotUnique, ColumnTypeWrong, SourceChanged, ConservationBroken.
    """
    with ExitStack() as stack:
        report = stack.enter_context(VerdictReport(report_dir)) if report_dir else None
        tally = Tally(profiles, selection, mapping, report)
        columns = [*required_columns(selection, mapping), *field_columns(mapping)]
        if tally.age_is_text:
            columns.append(mapping.newest_by)
        for normalised in profiles.map_slices(tally.normalise, columns, member_rows):
            tally.add(normalised)
            if on_progress is not None:
                on_progress(int(normalised.rows[-1]) + 1, profiles.rows)
        verdicts = tally.close(member_rows.len())
    if on_progress is not None:
        on_progress(profiles.rows, profiles.rows)
    _log.info(
        "%s contacts go, %s profiles are rejected, %s are duplicates",
        *(f"{n:,}" for n in (verdicts.sent, verdicts.rejected, verdicts.duplicates)),
    )
    return verdicts
