"""What went into the pipeline is what the sandbox's own parser reads out of the batches."""

import csv
import io
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from constant_contact import REQUEST_LIMIT_BYTES, framing_bytes
from pipeline import batch_file_name, prepare
from schemas.export import AttributeMapping, ExportRequest
from tests.contract.sandbox_api import Api, open_api

NASTY = {
    # CustomerId: (e-mail, first name, company), then what has to arrive, None for nothing
    "quotes": (("q1@example.com", 'Ann "The" Lee', 'Say "hi"'), ('Ann "The" Lee', 'Say "hi"')),
    "comma": (("q2@example.com", "Lee, Ann", "A, B & C"), ("Lee, Ann", "A, B & C")),
    "newline": (("q3@example.com", "Ann\nLee", "Line 1\nLine 2"), ("Ann Lee", "Line 1\nLine 2")),
    "tab": (("q4@example.com", "Ann\tLee", "A\tB"), ("Ann Lee", "A\tB")),
    "NUL": (("q5@example.com", "A\x00nn", "A\x00B"), ("Ann", "AB")),
    "formula": (("q6@example.com", "=1+1", "@SUM(A1)"), ("=1+1", "@SUM(A1)")),
    "80 characters": ((f"{'a' * 68}@example.com", "x", None), ("x", None)),
    "81 characters": ((f"{'a' * 69}@example.com", "x", None), None),
    "IDN": (("ann@exämple.com", "x", None), None),
    "punycode": (("ann@xn--exmple-cua.com", "x", None), ("x", None)),
    "white space": (
        ("\u00a0\u2003Q7@Example.com\u3000\n", "  Ann \u00a0 Lee ", None),
        ("Ann Lee", None),
    ),
    "null address": ((None, "x", None), None),
    "empty address": (("   ", "x", None), None),
    "null name": (("q8@example.com", None, "B"), (None, "B")),
    "blank name": (("q9@example.com", " \t ", "B"), (None, "B")),
    "right to left": (
        ("q10@example.com", "שלום עולם", "\u202bمرحبا\u202c"),
        ("שלום עולם", "\u202bمرحبا\u202c"),
    ),
    "emoji": (("q11@example.com", "Ann 👩‍👩‍👧", "🎉"), ("Ann 👩‍👩‍👧", "🎉")),
    "50 characters": (("q12@example.com", "ä" * 50, "c" * 50), ("ä" * 50, "c" * 50)),
    "51 characters": (("q13@example.com", "ä" * 51, "c" * 51), (None, None)),
    "composed": (("q14@example.com", "Zoe\u0308", None), ("Zoë", None)),
    "backslash": (("q15@example.com", "A\\B", "C:\\"), ("A\\B", "C:\\")),
    "carriage return": (("q16@example.com", "Ann\r\nLee", "A\r\nB"), ("Ann Lee", "A\r\nB")),
}


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with open_api() as opened:
        yield opened


def deliver(api: Api, folder: Path, profiles: pl.DataFrame) -> tuple[dict[str, Any], Any]:
    """Prepare an export, import its batches into a new list, and return the list's members."""
    path = folder / "profiles.parquet"
    profiles.with_columns(pl.lit(["S"]).alias("Segments")).write_parquet(path)
    request = ExportRequest(
        connection="c", list_id="l", profiles=str(path), segments=("S",), email="EMail",
        first_name="FirstName", attributes=(AttributeMapping(column="C", heading="company_name"),),
    )  # fmt: skip
    prepared = prepare(request)
    list_id = api.box.add_list(f"List {len(api.box.state.activities())} {folder}")
    delivery = prepared.delivery(list_id)
    name = batch_file_name("s", delivery, 1, "0" * 12)
    limit = REQUEST_LIMIT_BYTES - 1 - framing_bytes(name, [list_id])
    for batch in prepared.iter_batches(limit):
        accepted = api.import_csv(batch.body, list_id, name)
        counters = api.counters(accepted)
        assert counters["person_count"] == batch.rows
        assert counters["error_count"] == counters["correctable_count"] == 0
    return api.box.state.members(list_id), prepared.verdicts


def test_nasty_input_arrives_as_it_should(api: Api, tmp_path: Path) -> None:
    rows = [(key, *values) for key, (values, _) in NASTY.items()]
    profiles = pl.DataFrame(rows, schema=["CustomerId", "EMail", "FirstName", "C"], orient="row")
    members, verdicts = deliver(api, tmp_path, profiles)
    arrived = {
        email: (contact.get("first_name"), contact.get("company_name"))
        for email, contact in members.items()
    }
    expected = {
        values[0].strip().lower(): outcome
        for values, outcome in NASTY.values()
        if outcome is not None and values[0] is not None
    }
    assert arrived == expected
    assert verdicts.rejected == sum(outcome is None for _, outcome in NASTY.values())


TEXT = st.none() | st.text(max_size=60) | st.text("\"',\n\r\t =;\\\x00", max_size=8)


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from(["a", "b", "c", "d", "A "]), st.booleans(), TEXT, TEXT),
        min_size=1,
        max_size=12,
    )
)
def test_nobody_is_lost_or_doubled_and_values_arrive_as_sent(
    api: Api, tmp_path: Path, rows: list[tuple[str, bool, str | None, str | None]]
) -> None:
    example = f"e{len(api.box.state.activities())}.com"  # addresses no other example has used
    profiles = pl.DataFrame(
        [
            (f"{number:03}", f"{who}{'@' if is_valid else '#'}{example}", first, company)
            for number, (who, is_valid, first, company) in enumerate(rows)
        ],
        schema=dict.fromkeys(("CustomerId", "EMail", "FirstName", "C"), pl.String),
        orient="row",
    )
    members, verdicts = deliver(api, tmp_path, profiles)

    expected: dict[str, tuple[str | None, str | None]] = {}
    for who, is_valid, first, company in rows:
        address = f"{who}@{example}".lower()
        if is_valid and " " not in address:
            expected.setdefault(address, (expected_name(first), expected_text(company)))
    arrived = {
        email: (contact.get("first_name"), contact.get("company_name"))
        for email, contact in members.items()
    }
    assert len(arrived) == verdicts.sent
    assert verdicts.sent + verdicts.rejected + verdicts.duplicates == len(rows)
    assert arrived == {email: expected[email] for email in arrived}
    assert set(arrived) == set(expected)


def expected_name(name: str | None) -> str | None:
    """The rule for names in plain Python: Cc goes, white space collapses, NFC, 50 at most."""
    kept = "".join(
        character
        for character in name or ""
        if is_space(character) or unicodedata.category(character) != "Cc"
    )
    spaced = "".join(" " if is_space(character) else character for character in kept)
    cleaned = unicodedata.normalize("NFC", " ".join(spaced.split(" ")).strip(" "))
    while "  " in cleaned:
        cleaned = cleaned.replace("  ", " ")
    return cleaned if 0 < len(cleaned) <= 50 else None


def expected_text(text: str | None) -> str | None:
    """The rule for other text: Cc but tab and line breaks goes, trimmed, NFC, 50 at most."""
    kept = "".join(
        character
        for character in text or ""
        if character in "\t\n\r" or unicodedata.category(character) != "Cc"
    )
    start, end = 0, len(kept)
    while start < end and is_space(kept[start]):
        start += 1
    while end > start and is_space(kept[end - 1]):
        end -= 1
    cleaned = unicodedata.normalize("NFC", kept[start:end])
    return cleaned if 0 < len(cleaned) <= 50 else None


def is_space(character: str) -> bool:
    """Unicode's White_Space property; Python's isspace counts four separators in addition."""
    return character.isspace() and character not in "\x1c\x1d\x1e\x1f"


def test_sandbox_reads_csv_by_itself() -> None:
    """Guard the tests above: the sandbox's parser is Python's csv module, not ours."""
    assert next(csv.reader(io.StringIO('"a ""b""",c\r\n'))) == ['a "b"', "c"]
