"""Whom Constant Contact refused is named in the reports, once."""

from typing import Any

import polars as pl

from schemas.contact import REFUSED_CODE


def test_profile_is_named_once_when_two_runs_of_one_delivery_share_a_report_folder(
    workshop: Any,
) -> None:
    people = {
        "CustomerId": ["c1", "c2", "c3"],
        "EMail": ["ann@example.com", "bob@example.com", "nobody"],
        "Segments": [["High"]] * 3,
    }
    folder = workshop.folder / "report"
    first = workshop.prepare(people, report_dir=folder)
    second = workshop.prepare(report_dir=folder)
    first.without_refused([0])
    for refused, names in (([0], ["c1", "c3"]), ([0, 1], ["c1", "c2", "c3"])):
        verdicts = second.without_refused(refused).verdicts
        rejects = pl.read_parquet(verdicts.rejects_path)
        assert sorted(rejects["customer_id"]) == names
        assert rejects.height == verdicts.rejected + verdicts.duplicates
    reasons = dict(zip(rejects["customer_id"], rejects["reason"], strict=True))
    assert reasons == {"c1": REFUSED_CODE, "c2": REFUSED_CODE, "c3": "email_invalid"}
