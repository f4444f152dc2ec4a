"""Every profile ends as exactly one of sent, rejected, duplicate, and nobody is lost."""

import random
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import (
    ColumnTypeWrong,
    ConservationBroken,
    ContactAllowanceExceeded,
    MappingInvalid,
)
from pipeline.verdicts import check_conservation
from tests.unit.pipeline.conftest import all_in_high

E80 = "a" * 68 + "@example.com"
NASTY = [
    # address in the profile, address sent or the reason why not
    ("Ann@Example.COM", "ann@example.com"),
    ("\u2003 ann2@example.com\u00a0\t", "ann2@example.com"),
    ("o'neil+x=y@a-b.example.co.uk", "o'neil+x=y@a-b.example.co.uk"),
    (E80, E80),
    ("a" + E80, "email_too_long"),
    (None, "email_missing"),
    ("", "email_missing"),
    (" \u2003\n", "email_missing"),
    ("ann", "email_invalid"),
    ("ann@localhost", "email_invalid"),
    (".ann@example.com", "email_invalid"),
    ("ann.@example.com", "email_invalid"),
    ("a..nn@example.com", "email_invalid"),
    ("ann@example..com", "email_invalid"),
    ("ann@-example.com", "email_invalid"),
    ("ann@example-.com", "email_invalid"),
    ("ann@example.com.", "email_invalid"),
    ("ann smith@example.com", "email_invalid"),
    ("ann@exam ple.com", "email_invalid"),
    ("a@b@example.com", "email_invalid"),
    ("ann,bob@example.com", "email_invalid"),
    ('"ann"@example.com', "email_invalid"),
    ("ann@ex\u00e4mple.com", "email_invalid"),
    ("\u212aate@example.com", "email_invalid"),
    ("ann@xn--exmple-cua.com", "ann@xn--exmple-cua.com"),
    ("ann@example.com\u0000", "email_invalid"),
    ("ann\u200b@example.com", "email_invalid"),
    ("ann@example.com\nbcc:b@example.com", "email_invalid"),
]


_naive = datetime.fromisoformat  # what a Parquet file without time zones holds


def _rejects(folder: Path) -> dict[str, dict[str, Any]]:
    rows = pl.read_parquet(folder / "rejects.parquet")
    assert rows["customer_id"].n_unique() == rows.height
    return {row["customer_id"]: row for row in rows.to_dicts()}


@pytest.mark.parametrize(("address", "verdict"), NASTY)
def test_an_address_is_sent_trimmed_and_lower_cased_or_refused_for_its_reason(
    workshop: Any, tmp_path: Path, address: str | None, verdict: str
) -> None:
    rows = pl.DataFrame(all_in_high({"EMail": [address]}), schema_overrides={"EMail": pl.String})
    prepared = workshop.prepare(rows, report_dir=tmp_path / "r")
    rejects = _rejects(tmp_path / "r")
    if "@" in verdict:
        assert not rejects
        assert workshop.contacts(rows) == [{"email": verdict}]
    else:
        assert prepared.verdicts.reject_reasons == {verdict: 1}
        assert rejects["c0000"] == {
            "customer_id": "c0000",
            "verdict": "rejected",
            "reason": verdict,
            "reasons": [verdict],
            "field": "EMail",
            "value": address,
        }


def test_all_the_reasons_of_a_reject_are_listed_and_the_first_is_counted(
    workshop: Any, tmp_path: Path
) -> None:
    rows = all_in_high({"CustomerId": [" ", "2"], "EMail": ["x" * 81, None]})
    verdicts = workshop.prepare(rows, report_dir=tmp_path / "r").verdicts
    assert verdicts.reject_reasons == {"customer_id_missing": 1, "email_missing": 1}
    first = pl.read_parquet(tmp_path / "r" / "rejects.parquet").row(0, named=True)
    assert first["reasons"] == ["customer_id_missing", "email_too_long", "email_invalid"]
    assert (first["customer_id"], first["field"], first["value"]) == (None, "CustomerId", " ")


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("  Ann\t\n Marie\u00a0 ", "Ann Marie"),
        ("An\x00n\x1f\x7f\x9b", "Ann"),
        ("A\x0bn\x0cn\x85a", "A n n a"),
        ("Zoe\u0308", "Zo\u00eb"),
        ("\u202b\u05d3\u05d5\u05d3\u202c", "\u202b\u05d3\u05d5\u05d3\u202c"),
        ("\U0001f469\u200d\U0001f680", "\U0001f469\u200d\U0001f680"),
        ('=cmd|"x",1', '=cmd|"x",1'),
        ("n" * 50, "n" * 50),
        ("\u00e9" * 50, "\u00e9" * 50),
        ("e\u0301" * 50, "\u00e9" * 50),
        ("\u0958" * 25, "\u0915\u093c" * 25),  # NFC takes this one apart: it grows
        ("", None),
        (" \x00 ", None),
        (None, None),
    ],
)
def test_a_name_is_cleaned_and_goes(workshop: Any, name: str | None, sent: str | None) -> None:
    rows = all_in_high({"EMail": ["a@x.com", "b@x.com"], "First": [name, "B"]})
    first = workshop.contacts(rows, first_name="First")[0]
    assert first.get("first_name") == sent


@pytest.mark.parametrize("name", ["n" * 51, "\u00e9" * 51, "\u0958" * 26])
def test_a_name_that_is_too_long_is_left_out_and_the_contact_still_goes(
    workshop: Any, tmp_path: Path, name: str
) -> None:
    rows = all_in_high({"EMail": ["a@x.com"], "First": [name], "Last": ["L"]})
    names = {"first_name": "First", "last_name": "Last"}
    verdicts = workshop.prepare(rows, report_dir=tmp_path / "r", **names).verdicts
    assert (verdicts.sent, verdicts.amended) == (1, 1)
    assert verdicts.amend_reasons == {"first_name_too_long": 1}
    assert workshop.contacts(rows, **names) == [{"email": "a@x.com", "last_name": "L"}]
    assert pl.read_parquet(tmp_path / "r" / "amended.parquet").to_dicts() == [
        {
            "customer_id": "c0000",
            "field": "first_name",
            "reason": "first_name_too_long",
            "value": name,
        }
    ]


@pytest.mark.parametrize(
    ("heading", "value", "sent"),
    [
        ("phone", "1" * 25, True),
        ("phone", "1" * 26, "phone_too_long"),
        ("zip", "1" * 26, "zip_too_long"),
        ("country", "c" * 26, "country_too_long"),
        ("city", "c" * 51, "city_too_long"),
        ("state", "c" * 51, "state_too_long"),
        ("job_title", "c" * 51, "job_title_too_long"),
        ("company_name", "c" * 51, "company_name_too_long"),
        ("street", "c" * 51, "street_too_long"),
        ("street2", "c" * 51, "street2_too_long"),
        ("cf:tier", "c" * 255, True),
        ("cf:tier", "c" * 256, "custom_field_too_long"),
        ("anniversary", "2020-02-29", True),
        ("anniversary", "2021-02-29", "anniversary_invalid"),
        ("anniversary", "2/29/2020", "anniversary_invalid"),
        ("anniversary", "2020-2-9", "anniversary_invalid"),
    ],
)
def test_an_attribute_is_sent_up_to_its_limit_and_left_out_beyond(
    workshop: Any, heading: str, value: str, sent: bool | str
) -> None:
    rows = all_in_high({"EMail": ["a@x.com"], "A": [value]})
    verdicts = workshop.prepare(rows, attributes={"A": heading}).verdicts
    contact = workshop.contacts(rows, attributes={"A": heading})[0]
    if sent is True:
        assert contact[heading] == value
        assert verdicts.amended == 0
    else:
        assert heading not in contact
        assert verdicts.amend_reasons == {sent: 1}


@pytest.mark.parametrize(
    ("day", "month", "sent", "reasons"),
    [
        ("31", "12", ("31", "12"), []),
        ("05", "08", ("5", "8"), []),
        ("29", "2", ("29", "2"), []),
        ("30", "2", None, ["birthday_incomplete", "birthday_invalid"]),
        ("31", "4", None, ["birthday_incomplete", "birthday_invalid"]),
        ("0", "4", None, ["birthday_incomplete", "birthday_invalid"]),
        ("1", "13", None, ["birthday_incomplete", "birthday_invalid"]),
        ("1", None, None, ["birthday_incomplete"]),
        (None, "1", None, ["birthday_incomplete"]),
        ("x", "y", None, ["birthday_invalid", "birthday_invalid"]),
        (None, None, None, []),
    ],
)
def test_a_birthday_goes_whole_or_not_at_all(
    workshop: Any,
    day: str | None,
    month: str | None,
    sent: tuple[str, str] | None,
    reasons: list[str],
) -> None:
    rows = all_in_high({"EMail": ["a@x.com", "b@x.com"], "D": [day, "1"], "M": [month, "1"]})
    settings = {"attributes": {"D": "birthday_day", "M": "birthday_month"}}
    verdicts = workshop.prepare(rows, **settings).verdicts
    contact = workshop.contacts(rows, **settings)[0]
    both = (contact.get("birthday_day"), contact.get("birthday_month"))
    assert both == (sent or (None, None))
    assert sorted(Counter(verdicts.amend_reasons).elements()) == reasons
    assert verdicts.amended == bool(reasons)


def test_of_customers_who_share_an_address_the_newest_goes_else_the_lowest_key(
    workshop: Any, tmp_path: Path
) -> None:
    rows = all_in_high(
        {
            "CustomerId": [10, 9, 8, 7],
            "EMail": ["A@x.com", " a@X.com", "a@x.com ", "other@x.com"],
            "Seen": [date(2026, 1, 2), date(2026, 1, 2), None, None],
        }
    )
    frame = pl.DataFrame(rows).with_columns(name=pl.col("CustomerId").cast(pl.String))
    prepared = workshop.prepare(
        frame, newest_by="Seen", first_name="name", report_dir=tmp_path / "r"
    )
    assert prepared.verdicts.duplicates == 2
    assert {
        c["first_name"] for c in workshop.contacts(frame, newest_by="Seen", first_name="name")
    } == {
        "9",
        "7",
    }
    assert {c["first_name"] for c in workshop.contacts(frame, first_name="name")} == {"8", "7"}
    rejects = _rejects(tmp_path / "r")
    assert set(rejects) == {"10", "8"}
    assert rejects["10"] == {
        "customer_id": "10",
        "verdict": "duplicate",
        "reason": "duplicate_email",
        "reasons": ["duplicate_email"],
        "field": "EMail",
        "value": "A@x.com",
    }


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (1, 2),
        (None, -5),
        (float("nan"), -1.5),
        (_naive("2026-01-01T09:00"), _naive("2026-01-01T10:00")),
        ("2026-01-31", "2026-02-01"),
        ("2026-01-31T10:00:00+02:00", "2026-01-31T09:00:00Z"),
        ("2026-01-31T09:00:00Z", "2026-01-31T06:00:00-05:00"),
        ("2026-01-31 10:00", "2026-01-31T10:00:00.5"),
        ("", "1999-12-31"),
        (None, "1999-12-31T00:00:00-0500"),
    ],
)
def test_newest_is_the_latest_date_or_the_highest_number_and_null_the_oldest(
    workshop: Any, older: Any, newer: Any
) -> None:
    rows = all_in_high({"EMail": ["a@x.com"] * 2, "Seen": [older, newer], "N": ["old", "new"]})
    assert workshop.contacts(rows, newest_by="Seen", first_name="N")[0]["first_name"] == "new"


@pytest.mark.parametrize(
    "text", ["3/4/2026", "2026-13-01", "yesterday", "2026-01-01T24:00", "2026-01-01T10:60"]
)
def test_text_that_is_no_iso_date_cannot_say_who_is_newest(workshop: Any, text: str) -> None:
    rows = all_in_high({"EMail": ["a@x.com", "b@x.com"], "Seen": ["2026-01-01", text]})
    with pytest.raises(ColumnTypeWrong, match=r"'Seen' is text and no ISO date in 1 rows") as said:
        workshop.prepare(rows, newest_by="Seen")
    assert text not in str(said.value)


def test_a_rejected_profile_does_not_push_out_a_valid_one(workshop: Any) -> None:
    rows = all_in_high({"CustomerId": ["", "2"], "EMail": ["a@x.com"] * 2})
    verdicts = workshop.prepare(rows).verdicts
    assert (verdicts.sent, verdicts.rejected, verdicts.duplicates) == (1, 1, 0)


def test_a_rejected_profile_is_not_counted_as_amended(workshop: Any, tmp_path: Path) -> None:
    rows = all_in_high({"EMail": ["bad", "a@x.com"], "First": ["n" * 51, "n" * 51]})
    verdicts = workshop.prepare(rows, first_name="First", report_dir=tmp_path / "r").verdicts
    assert (verdicts.amended, verdicts.amend_reasons) == (1, {"first_name_too_long": 1})
    assert pl.read_parquet(tmp_path / "r" / "amended.parquet")["customer_id"].to_list() == ["c0001"]


def test_a_duplicate_is_not_counted_as_amended(workshop: Any, tmp_path: Path) -> None:
    rows = all_in_high({"EMail": ["a@x.com"] * 2, "First": ["ok", "n" * 51]})
    verdicts = workshop.prepare(rows, first_name="First", report_dir=tmp_path / "r").verdicts
    assert (verdicts.sent, verdicts.duplicates, verdicts.amended) == (1, 1, 0)
    assert verdicts.amend_reasons == {}
    assert pl.read_parquet(tmp_path / "r" / "amended.parquet").is_empty()


def test_reports_are_private_and_complete_and_leave_nothing_else(
    workshop: Any, tmp_path: Path
) -> None:
    rows = all_in_high({"EMail": [address for address, _ in NASTY]})
    verdicts = workshop.prepare(rows, report_dir=tmp_path / "deep" / "r").verdicts
    folder = tmp_path / "deep" / "r"
    assert sorted(path.name for path in folder.iterdir()) == ["amended.parquet", "rejects.parquet"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())
    assert pl.read_parquet(verdicts.rejects_path).height == verdicts.rejected + verdicts.duplicates
    assert verdicts.amended_path == folder / "amended.parquet"


def test_a_preparation_that_fails_leaves_no_report(workshop: Any, tmp_path: Path) -> None:
    rows = all_in_high({"EMail": ["bad", "bad"], "Seen": ["x", "y"]})
    with pytest.raises(ColumnTypeWrong):
        workshop.prepare(rows, newest_by="Seen", report_dir=tmp_path / "r")
    assert list((tmp_path / "r").iterdir()) == []


def test_a_run_that_cannot_show_the_conservation_law_fails(workshop: Any) -> None:
    verdicts = workshop.prepare(all_in_high({"EMail": ["a@x.com", "bad"]})).verdicts
    check_conservation(verdicts)
    for broken in ({"sent": 2}, {"rejected": 0}, {"duplicates": 1}, {"profiles_in_segment": 3}):
        with pytest.raises(ConservationBroken):
            check_conservation(replace(verdicts, **broken))
    check_conservation(verdicts, reported_rows=1)
    with pytest.raises(ConservationBroken):
        check_conservation(verdicts, reported_rows=2)


def test_more_contacts_than_the_contract_allows_are_refused_with_both_numbers(
    workshop: Any,
) -> None:
    rows = all_in_high({"EMail": ["a@x.com", "b@x.com", "bad"]})
    prepared = workshop.prepare(rows)
    prepared.require_allowance(2)
    prepared.require_allowance(None)
    with pytest.raises(ContactAllowanceExceeded, match=r"holds 2 contacts.*allows 1"):
        prepared.require_allowance(1)


def test_progress_ends_at_all_rows(workshop: Any) -> None:
    seen: list[tuple[int, int]] = []
    workshop.prepare(
        all_in_high({"EMail": ["a@x.com"] * 3}), on_progress=lambda *rows: seen.append(rows)
    )
    assert seen[-1] == (3, 3)


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
    report = _rejects(workshop.folder / "r")
    by_verdict = {
        verdict: {int(key) for key, row in report.items() if row["verdict"] == verdict}
        for verdict in ("rejected", "duplicate")
    }
    assert by_verdict == {"rejected": rejected, "duplicate": duplicates}
    gone = [int(c["cf:id"]) for c in sent] + sorted(rejected) + sorted(duplicates)
    assert sorted(gone) == list(range(1, len(rows) + 1))


def test_the_order_of_rows_never_decides(workshop: Any) -> None:
    rows = pl.DataFrame(
        {
            "CustomerId": [str(i) for i in range(300)],
            "EMail": [f"u{i * 37 % 40}@x.com" for i in range(300)],
            "Seen": [[None, 1, 2][i * i % 3] for i in range(300)],
            "Segments": [["High"]] * 300,
        }
    )
    winners = []
    for seed in range(4):
        shuffled = rows.sample(fraction=1, shuffle=True, seed=seed)
        contacts = workshop.contacts(shuffled, newest_by="Seen", attributes={"CustomerId": "cf:id"})
        winners.append({contact["cf:id"] for contact in contacts})
    assert all(one == winners[0] for one in winners)


def test_winners_are_found_the_same_in_pieces(
    workshop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = all_in_high({"EMail": [f"u{i % 7}@x.com" for i in range(60)]})
    whole = workshop.prepare(rows).verdicts
    monkeypatch.setattr("pipeline.duplicates._CANDIDATES_MOST", 3)
    monkeypatch.setattr("pipeline.source.SLICE_MOST_ROWS", 8)
    pieces = workshop.prepare(rows).verdicts
    assert pieces.sent_rows.to_list() == whole.sent_rows.to_list() == list(range(7))


def test_equal_hashes_are_confirmed_by_text(workshop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash alone would give one person's place to another."""

    def collide(values: pl.Series, *_: object) -> pl.Series:
        return pl.repeat(1, values.len(), dtype=pl.UInt64, eager=True)

    monkeypatch.setattr(pl.Series, "hash", collide)
    rows = all_in_high({"EMail": ["a@x.com", "b@x.com", "A@x.com"]})
    verdicts = workshop.prepare(rows).verdicts
    assert (verdicts.sent, verdicts.duplicates) == (2, 1)


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"A": "email"}, "--email"),
        ({"A": "first_name"}, "--first-name"),
        ({"A": "sms_number"}, "does not handle consent to text messages"),
        ({"A": "compnay_name"}, "did you mean 'company_name'"),
        ({"A": "City"}, "did you mean 'city'"),
        ({"A": "cf:"}, "names no custom field"),
        ({"A": "birthday_day"}, "needs birthday_month"),
        ({"A": "city", "B": "city"}, "Two columns are mapped to one field: 'city'"),
        ({f"c{i}": f"cf:{i}" for i in range(26)}, "26 custom fields .* at most 25"),
    ],
)
def test_a_mapping_that_cannot_be_is_refused(
    workshop: Any, attributes: dict[str, str], said: str
) -> None:
    with pytest.raises(MappingInvalid, match=said):
        workshop.prepare("nowhere.parquet", attributes=attributes)
