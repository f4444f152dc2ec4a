"""The count of verdicts while slices of profiles come in."""

from collections import Counter
from dataclasses import dataclass, field

import polars as pl

from pipeline.duplicates import age_of, check_keys_unique, check_text_is_dates, find_losers
from pipeline.fields import (
    find_amendments,
    find_suspects,
    normalise_fields,
    normalise_required,
)
from pipeline.mapping import ContactMapping, Selection
from pipeline.report import VerdictReport, reject_lines
from pipeline.source import Table
from pipeline.text_forms import is_text, text_of
from pipeline.verdicts import Verdicts, check_conservation
from schemas.contact import DUPLICATE_CODE, find_breaches, required_schema


@dataclass(frozen=True, slots=True)
class NormalisedSlice:
    """A slice of profiles as they are, and of their contacts what the verdicts need.

    `suspects` are indexes (u32) into it, `suspect_fields` the other fields of these alone.
    """

    rows: pl.Series
    frame: pl.DataFrame
    required: pl.DataFrame
    suspects: pl.Series
    suspect_fields: pl.DataFrame


@dataclass(slots=True)
class Tally:
    """What is kept of the slices judged so far: a few bytes a profile, no text."""

    profiles: Table
    selection: Selection
    mapping: ContactMapping
    report: VerdictReport | None
    rejected: int = 0
    reject_reasons: Counter[str] = field(default_factory=Counter)
    wrong_dates: int = 0
    key_hashes: list[pl.DataFrame] = field(default_factory=list)
    email_hashes: list[pl.DataFrame] = field(default_factory=list)
    amendments: list[pl.DataFrame] = field(default_factory=list)

    @property
    def age_is_text(self) -> bool:
        """Say whether ages have to be read from text, and so may be no dates."""
        newest = self.mapping.newest_by
        return bool(newest) and is_text(self.profiles.layout.types[newest])

    def normalise(self, rows: pl.Series, frame: pl.DataFrame) -> NormalisedSlice:
        """Normalise a slice as far as its verdicts need it; may run in another thread."""
        suspects = find_suspects(frame, self.mapping)
        return NormalisedSlice(
            rows,
            frame,
            normalise_required(frame, self.selection, self.mapping),
            suspects,
            normalise_fields(frame[suspects], self.mapping),
        )

    def add(self, slice_: NormalisedSlice) -> None:
        """Judge a slice by itself."""
        breaches = find_breaches(required_schema(), slice_.required)
        rejected = breaches["index"].unique()
        if not rejected.is_empty():
            self._reject(slice_, breaches, rejected)
        self._keep_hashes(slice_, rejected)
        self._amend(slice_, rejected)
        if self.age_is_text:
            self.wrong_dates += age_of(slice_.frame[self.mapping.newest_by])[1]

    def close(self, members: int) -> Verdicts:
        """Judge what only all slices together can tell, and publish the report."""
        check_text_is_dates(self.mapping.newest_by, self.wrong_dates)
        check_keys_unique(self.profiles, _stack(self.key_hashes), self.selection)
        self.key_hashes.clear()
        valid = _stack(self.email_hashes)
        self.email_hashes.clear()
        lost_rows = self._find_duplicates(valid)
        sent_rows = valid["row"].filter(~valid["row"].is_in(lost_rows.implode()))
        amended = pl.concat(self.amendments) if self.amendments else _NO_AMENDMENTS
        amended = amended.filter(~amended["row"].is_in(lost_rows.implode()))
        reasons = amended["reason"].value_counts(sort=True)
        verdicts = Verdicts(
            profiles_in_segment=members,
            sent=sent_rows.len(),
            rejected=self.rejected,
            duplicates=lost_rows.len(),
            amended=amended["row"].n_unique(),
            reject_reasons=dict(sorted(self.reject_reasons.items())),
            amend_reasons=dict(sorted(reasons.iter_rows())),
            sent_rows=sent_rows,
            rejects_path=self.report.rejects_path if self.report else None,
            amended_path=self.report.amended_path if self.report else None,
        )
        check_conservation(verdicts, self.report.reject_rows if self.report else None)
        if self.report is not None:
            self.report.finish(lost_rows)
        return verdicts

    def _reject(self, slice_: NormalisedSlice, breaches: pl.DataFrame, rejected: pl.Series) -> None:
        columns = {"customer_id": self.selection.customer_id, "email": self.mapping.email}
        profiles = slice_.required.select("customer_id")[rejected].with_columns(
            rejected.alias("index"),
            *(
                slice_.frame[column].gather(rejected).cast(pl.String).alias(f"raw {name}")
                for name, column in columns.items()
            ),
        )
        lines = reject_lines(profiles, breaches, columns)
        self.rejected += lines.height
        self.reject_reasons.update(dict(lines["reason"].value_counts().iter_rows()))
        if self.report is not None:
            self.report.add_rejects(lines)

    def _keep_hashes(self, slice_: NormalisedSlice, rejected: pl.Series) -> None:
        keys = slice_.required["customer_id"]
        hashes = pl.DataFrame([slice_.rows.alias("row"), keys.hash().alias("hash")])
        self.key_hashes.append(hashes.filter(keys.is_not_null()) if keys.has_nulls() else hashes)
        emails = slice_.required["email"]
        valid = pl.DataFrame([slice_.rows.alias("row"), emails.hash().alias("hash")])
        self.email_hashes.append(_without(valid, rejected))

    def _amend(self, slice_: NormalisedSlice, rejected: pl.Series) -> None:
        amendments = find_amendments(slice_.suspect_fields)
        index = slice_.suspects.gather(amendments["index"])
        located = amendments.with_columns(
            index.alias("index"), slice_.rows.gather(index).alias("row")
        ).filter(~index.is_in(rejected.implode()))
        if located.is_empty():
            return
        self.amendments.append(located.select("row", "reason").cast({"reason": pl.Categorical}))
        if self.report is not None:
            self.report.add_amended(self._amend_lines(slice_, located))

    def _amend_lines(self, slice_: NormalisedSlice, located: pl.DataFrame) -> pl.DataFrame:
        columns = {field.heading: field.column for field in self.mapping.fields}
        keys = slice_.required["customer_id"]
        by_field = [
            of_field.with_columns(
                keys.gather(of_field["index"]).alias("customer_id"),
                text_of(slice_.frame[columns[heading]].gather(of_field["index"])).alias("value"),
            )
            for (heading,), of_field in located.group_by("field", maintain_order=True)
        ]
        return pl.concat(by_field).sort("index", maintain_order=True)

    def _find_duplicates(self, valid: pl.DataFrame) -> pl.Series:
        lost = [pl.Series("row", [], pl.UInt32)]
        for losers in find_losers(self.profiles, valid, self.selection, self.mapping):
            lost.append(losers["row"])
            if self.report is not None:
                self.report.add_rejects(
                    losers.select(
                        "customer_id",
                        pl.lit("duplicate").alias("verdict"),
                        pl.lit(DUPLICATE_CODE).alias("reason"),
                        pl.concat_list(pl.lit(DUPLICATE_CODE)).alias("reasons"),
                        pl.lit(self.mapping.email).alias("field"),
                        "value",
                    )
                )
        return pl.concat(lost)


_NO_AMENDMENTS = pl.DataFrame(schema={"row": pl.UInt32, "reason": pl.Categorical})


def _without(frame: pl.DataFrame, indexes: pl.Series) -> pl.DataFrame:
    if indexes.is_empty():
        return frame
    is_kept = pl.repeat(value=True, n=frame.height, dtype=pl.Boolean, eager=True)
    return frame.filter(is_kept.scatter(indexes, values=False))


def _stack(parts: list[pl.DataFrame]) -> pl.DataFrame:
    nothing = pl.DataFrame(schema={"row": pl.UInt32, "hash": pl.UInt64})
    return pl.concat([nothing, *parts])
