"""Tables of names that other people have chosen."""

import pytest

from cli.lists import tabulate
from cli.printing import print_table, say
from constant_contact import ContactList

ODD_NAMES = ["Newsletter [de]", "Sale :fire:", "Win [/b] back", "A" * 300]


def test_names_are_printed_as_they_are_and_a_row_is_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lists = [ContactList(list_id=f"id-{n}", name=name) for n, name in enumerate(ODD_NAMES)]
    print_table(tabulate(lists))
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == ["name", "ID", "members", "updated"]
    assert [row.split("  ")[0].strip() for row in rows] == ODD_NAMES
    assert [row.split()[-1] for row in rows] == ["id-0", "id-1", "id-2", "id-3"]


def test_lines_are_said_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ODD_NAMES:
        say(name)
    assert capsys.readouterr().err.splitlines() == ODD_NAMES
