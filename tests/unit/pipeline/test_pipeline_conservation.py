"""Every profile ends as exactly one of sent, rejected, duplicate, and nobody is lost."""

import random
import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import ConservationBroken
from pipeline.verdicts import check_conservation
from tests.unit.pipeline.conftest import all_in_high, read_rejects


def test_a_run_that_cannot_show_the_conservation_law_fails(workshop: Any) -> None:
    verdicts = workshop.prepare(all_in_high({"EMail": ["a@x.com", "bad"]})).verdicts
    check_conservation(verdicts)
    for broken in ({"sent": 2}, {"rejected": 0}, {"duplicates": 1}, {"profiles_in_segment": 3}):
        with pytest.raises(ConservationBroken):
            check_conservation(replace(verdicts, **broken))
    check_conservation(verdicts, reported_rows=1)
    with pytest.raises(ConservationBroken):
        check_conservation(verdicts, reported_rows=2)


def test_microsofts_sample_is_accounted_for_as_duckdb_counts(workshop: Any, sample: Path) -> None:
    profiles = sample / "microsoft_sample_profiles.parquet"
    memberships = sample / "microsoft_sample_memberships.parquet"
    addresses = duckdb.execute(
        """select count(distinct lower(trim(EMail))) from read_parquet(?) p
           join read_parquet(?) m using (CustomerId)
           where m.Segments like '%"Loyalty_High"%' and EMail like '%_@_%._%'""",
        [str(profiles), str(memberships)],
    ).fetchone()
    verdicts = workshop.prepare(
        profiles, memberships=str(memberships), segments=("Loyalty_High",)
    ).verdicts
    assert addresses is not None
    assert verdicts.profiles_in_segment == 443
    assert verdicts.sent == addresses[0]


# An independent computation in plain Python, row by row.

_SPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_WORD = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_PART = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"{_WORD}(\.{_WORD})*@{_PART}(\.{_PART})+")


def _expected_name(name: str | None) -> str | None:
    kept = "".join(c for c in name or "" if c in _SPACE or unicodedata.category(c) != "Cc")
    words = [word for word in re.split(f"[{_SPACE}]+", kept) if word]
    cleaned = unicodedata.normalize("NFC", " ".join(words))
    return cleaned if 0 < len(cleaned) <= 50 else None


def _expected(rows: list[dict[str, Any]]) -> tuple[dict[str, dict[str, str]], set[int], set[int]]:
    best: dict[str, dict[str, Any]] = {}
    rejected, duplicates = set(), set()
    for row in rows:
        address = (row["EMail"] or "").strip(_SPACE)
        if len(address) > 80 or not _ADDRESS.fullmatch(address):
            rejected.add(row["CustomerId"])
            continue
        address = address.lower()
        rival = best.get(address)
        if rival is None:
            best[address] = row
            continue

        def rank(one: dict[str, Any]) -> tuple[bool, int, int]:
            return (one["Seen"] is not None, one["Seen"] or 0, -one["CustomerId"])

        winner, loser = (row, rival) if rank(row) > rank(rival) else (rival, row)
        best[address] = winner
        duplicates.add(loser["CustomerId"])
    contacts = {}
    for address, row in best.items():
        fields = {
            "email": address,
            "first_name": _expected_name(row["First"]),
            "last_name": _expected_name(row["Last"]),
            "cf:id": str(row["CustomerId"]),
        }
        contacts[address] = {key: value for key, value in fields.items() if value}
    return contacts, rejected, duplicates


_TEXT = st.text(
    st.sampled_from("ab\u00e9e\u0301 \t\n\r\x00\x1f\x85\u00a0\u2003,\"';=\U0001f600\u05d0"),
    max_size=60,
)
_ADDRESSES = st.one_of(
    st.none(),
    _TEXT,
    st.builds(
        "{}{}@{}{}".format,
        st.sampled_from(["", " ", "\u2003"]),
        st.sampled_from(["a", "A", "b.c", "b..c"]),
        st.sampled_from(["x.com", "X.Com", "localhost"]),
        st.sampled_from(["", "\t"]),
    ),
)
_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "EMail": _ADDRESSES,
            "First": st.none() | _TEXT,
            "Last": st.none() | _TEXT,
            "Seen": st.none() | st.integers(-2, 2),
        }
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=60)
@given(rows=_ROWS, rng=st.randoms(use_true_random=False))
def test_no_profile_is_lost_or_doubled_and_a_plain_computation_agrees(
    new_workshop: Callable[[], Any],
    read_back: Callable[..., list[dict[str, str]]],
    rows: list[dict[str, Any]],
    rng: random.Random,
) -> None:
    workshop = new_workshop()
    numbered = [row | {"CustomerId": i, "Segments": ["High"]} for i, row in enumerate(rows, 1)]
    rng.shuffle(numbered)
    frame = pl.DataFrame(
        numbered,
        schema={
            "CustomerId": pl.Int64,
            "EMail": pl.String,
            "First": pl.String,
            "Last": pl.String,
            "Seen": pl.Int64,
            "Segments": pl.List(pl.String),
        },
    )
    prepared = workshop.prepare(
        frame,
        report_dir=workshop.folder / "r",
        first_name="First",
        last_name="Last",
        newest_by="Seen",
        attributes={"CustomerId": "cf:id"},
    )
    contacts, rejected, duplicates = _expected(numbered)
    sent = read_back(prepared.iter_batches(400))
    assert {contact["email"]: contact for contact in sent} == contacts
    assert len(sent) == len(contacts) == prepared.verdicts.sent
    report = read_rejects(workshop.folder / "r")
    by_verdict = {
        verdict: {int(key) for key, row in report.items() if row["verdict"] == verdict}
        for verdict in ("rejected", "duplicate")
    }
    assert by_verdict == {"rejected": rejected, "duplicate": duplicates}
    gone = [int(c["cf:id"]) for c in sent] + sorted(rejected) + sorted(duplicates)
    assert sorted(gone) == list(range(1, len(rows) + 1))
