"""What Constant Contact refused, brought home to the profiles that it concerns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from pipeline.fields import (
    field_columns,
    find_amendments,
    normalise_fields,
    normalise_required,
    required_columns,
)
from pipeline.mapping import ContactMapping, Selection
from pipeline.report import append_rejects, drop_amended, write_not_imported
from pipeline.source import Table
from pipeline.verdicts import Verdicts, check_conservation
from schemas.contact import REFUSED_CODE


@dataclass(frozen=True, slots=True)
class NamedLine:
    """A line of an accepted file that its activity names as an error.

    Attributes:
        position: how many contacts of the delivery go before this one.
        line: of the file; its header is line 1.
        reason: what the activity's counters say of its lines.
    """

    position: int
    file_name: str
    line: int
    reason: str


def reject_refused(
    profiles: Table,
    verdicts: Verdicts,
    positions: Sequence[int],
    selection: Selection,
    mapping: ContactMapping,
) -> Verdicts:
    """Count contacts that were refused one by one as rejected, and say so in the reports.

    `positions` are those of the contacts in the delivery, from 0. Raises PipelineError, such as
    SourceChanged and ReportUnwritable.
    """
    if not positions:
        return verdicts
    rows = verdicts.sent_rows.gather(sorted(positions))
    columns = [*required_columns(selection, mapping), *field_columns(mapping)]
    profile = pl.concat(
        [frame for _, frame in profiles.iter_slices(columns, rows)], how="vertical_relaxed"
    )
    customer_id = normalise_required(profile, selection, mapping)["customer_id"]
    amendments = find_amendments(normalise_fields(profile, mapping))
    amend_reasons = dict(verdicts.amend_reasons)
    for reason, number in amendments["reason"].value_counts().iter_rows():
        amend_reasons[reason] -= number
    if verdicts.rejects_path is not None:
        append_rejects(verdicts.rejects_path, _reject_lines(customer_id, profile, mapping))
    if verdicts.amended_path is not None and not amendments.is_empty():
        drop_amended(verdicts.amended_path, customer_id)
    judged = replace(
        count_refused(verdicts, rows.len()),
        amended=verdicts.amended - amendments["index"].n_unique(),
        amend_reasons={reason: number for reason, number in amend_reasons.items() if number},
        sent_rows=verdicts.sent_rows.filter(~verdicts.sent_rows.is_in(rows.implode())),
    )
    check_conservation(judged)
    return judged


def count_refused(verdicts: Verdicts, contacts: int) -> Verdicts:
    """Count contacts that were to be sent as rejected, because Constant Contact refused them."""
    refused = verdicts.reject_reasons.get(REFUSED_CODE, 0) + contacts
    return replace(
        verdicts,
        sent=verdicts.sent - contacts,
        rejected=verdicts.rejected + contacts,
        reject_reasons=verdicts.reject_reasons | {REFUSED_CODE: refused},
    )


def _reject_lines(
    customer_id: pl.Series, profile: pl.DataFrame, mapping: ContactMapping
) -> pl.DataFrame:
    return pl.DataFrame([customer_id]).select(
        "customer_id",
        pl.lit("rejected").alias("verdict"),
        pl.lit(REFUSED_CODE).alias("reason"),
        pl.concat_list(pl.lit(REFUSED_CODE)).alias("reasons"),
        pl.lit(mapping.email).alias("field"),
        profile[mapping.email].cast(pl.String).alias("value"),
    )


def report_named_lines(
    profiles: Table,
    sent_rows: pl.Series,
    lines: Sequence[NamedLine],
    selection: Selection,
    mapping: ContactMapping,
    folder: Path,
) -> Path:
    """Write which profiles the named lines are; raises PipelineError."""
    named = pl.DataFrame(
        {
            "row": sent_rows.gather([line.position for line in lines]),
            "file_name": [line.file_name for line in lines],
            "line": pl.Series([line.line for line in lines], dtype=pl.UInt32),
            "reason": [line.reason for line in lines],
        }
    ).sort("row", "line")
    columns = required_columns(selection, mapping)
    keys = [
        pl.DataFrame(
            [rows.alias("row"), normalise_required(frame, selection, mapping)["customer_id"]]
        )
        for rows, frame in profiles.iter_slices(columns, named["row"].unique().sort())
    ]
    known = named.join(pl.concat(keys), on="row", how="left", maintain_order="left")
    return write_not_imported(folder, known.select("customer_id", "reason", "file_name", "line"))
