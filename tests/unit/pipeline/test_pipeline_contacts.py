"""What is sent of a profile, or the reason why it, or a field of it, is not."""

from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline import ColumnTypeWrong, ContactAllowanceExceeded, MappingInvalid
from tests.unit.pipeline.conftest import all_in_high, read_rejects

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


@pytest.mark.parametrize(("address", "verdict"), NASTY)
def test_an_address_is_sent_trimmed_and_lower_cased_or_refused_for_its_reason(
    workshop: Any, tmp_path: Path, address: str | None, verdict: str
) -> None:
    rows = pl.DataFrame(all_in_high({"EMail": [address]}), schema_overrides={"EMail": pl.String})
    prepared = workshop.prepare(rows, report_dir=tmp_path / "r")
    rejects = read_rejects(tmp_path / "r")
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
        ("anniversary", "0001-01-01", True),
        ("anniversary", "9999-12-31", True),
        ("anniversary", "0000-01-01", "anniversary_invalid"),
        ("anniversary", "0000-02-29", "anniversary_invalid"),
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
