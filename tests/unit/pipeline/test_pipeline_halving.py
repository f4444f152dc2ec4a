"""Halves of a batch: the same contacts, the same bytes each time, found again."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from pipeline import ContactBatch, cut_around, halve
from pipeline.batches import digest_of

CELL = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6)
ROWS = st.lists(st.tuples(st.text("ab@.", min_size=1, max_size=5), CELL, CELL), min_size=2)


def batch_of(rows: list[tuple[str, str, str]], first: int = 7) -> ContactBatch:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerows([("email", "first_name", "city"), *rows])
    body = text.getvalue().encode()
    return ContactBatch(3, first, len(rows), body, digest_of(body))


def contacts_in(batch: ContactBatch) -> list[dict[str, str]]:
    """Read a file as whoever imports it does: an empty cell and a missing column say nothing."""
    rows = csv.DictReader(io.StringIO(batch.body.decode(), newline=""))
    return [{name: value for name, value in row.items() if value} for row in rows]


@given(ROWS)
def test_halves_hold_the_same_contacts_in_the_same_order(rows: list[tuple[str, str, str]]) -> None:
    whole = batch_of(rows)
    left, right = halve(whole)
    assert contacts_in(left) + contacts_in(right) == contacts_in(whole)
    assert (left.number, right.number) == (3, 3)
    assert (left.first, right.first) == (7, 7 + left.rows)
    assert left.rows + right.rows == whole.rows
    assert abs(left.rows - right.rows) <= 1
    assert len(left.body) <= len(whole.body)
    assert len(right.body) <= len(whole.body)
    assert halve(whole) == (left, right)
    assert {left.digest, right.digest} == {digest_of(left.body), digest_of(right.body)}


@given(ROWS)
def test_halves_leave_out_columns_without_a_value(rows: list[tuple[str, str, str]]) -> None:
    for half in halve(batch_of(rows)):
        header, *cells = csv.reader(io.StringIO(half.body.decode(), newline=""))
        assert header[0] == "email"
        for at in range(len(header)):
            assert any(row[at] for row in cells)


@given(ROWS, st.data())
def test_accepted_parts_are_found_again_and_the_rest_stays_as_large_as_can_be(
    rows: list[tuple[str, str, str]], data: st.DataObject
) -> None:
    whole = batch_of([(f"{n}{email}", a, b) for n, (email, a, b) in enumerate(rows)])
    accepted: list[ContactBatch] = []
    open_parts = [whole]
    while open_parts:
        part = open_parts.pop()
        if part is not whole and data.draw(st.booleans()):
            accepted.append(part)
        elif part.rows > 1:
            open_parts += halve(part)
    parts = cut_around(whole, {part.digest for part in accepted})
    assert [one for part in parts for one in contacts_in(part)] == contacts_in(whole)
    assert {part.digest for part in accepted} <= {part.digest for part in parts}
    if not accepted:
        assert parts == [whole]


def test_digest_that_is_no_part_of_it_leaves_a_batch_whole() -> None:
    whole = batch_of([("a@b", "Ann", ""), ("c@d", "", "Riga"), ("e@f", "", "")])
    assert cut_around(whole, {"0" * 12}) == [whole]


def test_line_numbers_name_contacts_only_where_each_has_one_line() -> None:
    assert batch_of([("a@b", "Ann", ""), ("c@d", "", "")]).has_a_line_each
    assert not batch_of([("a@b", "Ann\nB", ""), ("c@d", "", "")]).has_a_line_each
