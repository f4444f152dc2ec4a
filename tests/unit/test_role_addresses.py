"""Contacts whose address is a role's are counted in the files that go."""

import pytest

from pipeline import ContactBatch
from schemas.export import ExportRequest
from schemas.role_addresses import count_role_addresses
from tasks.role_addresses import look_for_roles, note_role_addresses
from tasks.session import new_session

ROLES = [
    "postmaster@example.com",
    "www@example.com",
    "all@a.b",
    "nospam@example.com",
    "ann@spamcop.example",
    "team@googlegroups.com",
    "team@craigslist.org",
]
PEOPLE = [
    "ann@example.com",
    "postmaster.ann@example.com",
    "ann.sales@example.com",
    "salesman@example.com",
    "team@googlegroups.com.example",
    "team@mygooglegroups.com",
    "ann@sales.example.com",
]


@pytest.mark.parametrize(
    "columns",
    [
        ("email", ""),
        ("email,first_name,cf:motto", ",Ann,no spam at sales@googlegroups.com"),
        ("email,first_name,cf:motto", ',"Ann ""A""","no\r\nspam please\nsales@x.com, root@x.com"'),
    ],
)
def test_addresses_of_roles_are_counted_wherever_they_stand(columns: tuple[str, str]) -> None:
    header, rest = columns
    for addresses, roles in ((ROLES, len(ROLES)), (PEOPLE, 0), ([*PEOPLE, *ROLES], len(ROLES))):
        body = "".join(f"{line}\r\n" for line in [header, *(one + rest for one in addresses)])
        assert count_role_addresses(body.encode()) == roles


@pytest.mark.parametrize("address", PEOPLE)
def test_addresses_of_people_are_not(address: str) -> None:
    assert count_role_addresses(f"email\r\n{address}\r\n".encode()) == 0


@pytest.mark.parametrize("address", ROLES)
def test_each_kind_is_known(address: str) -> None:
    assert count_role_addresses(f"email\r\n{address}\r\n".encode()) == 1


def test_each_batch_counts_once_however_often_it_is_looked_at() -> None:
    request = ExportRequest(connection="c", list_id="l", profiles="p", segments=("S",), email="e")
    with new_session(request) as session:
        for number, roles in ((1, 2), (2, 1), (1, 2)):
            body = "email\r\n" + "".join(f"{one}\r\n" for one in ROLES[:roles])
            look_for_roles(session, ContactBatch(number, 0, roles, body.encode(), ""))
        note_role_addresses(session)
        assert [note.rpartition(" ")[2] for note in session.notes] == ["3."]
