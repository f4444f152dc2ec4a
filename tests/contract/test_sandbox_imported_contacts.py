"""Cases 35 to 46: what an import does to contacts, and what it makes of bad rows."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.sandbox_api import Api, open_api


@pytest.fixture
def api() -> Iterator[Api]:
    with open_api() as api:
        yield api


def test_case_35_new_contact_is_implicit_and_from_the_account(api: Api) -> None:
    api.import_json({"email": "a@x.com", "first_name": "A"})
    answer = api.get("/contacts", params={"email": "a@x.com", "include": "list_memberships"})

    (contact,) = answer.json()["contacts"]
    assert contact["email_address"]["permission_to_send"] == "implicit"
    assert contact["email_address"]["opt_in_source"] == "Account"
    assert contact["first_name"] == "A"
    assert contact["list_memberships"] == [api.list_id]


def test_case_36_existing_contact_keeps_what_was_not_sent(api: Api) -> None:
    api.box.add_contact(
        "a@x.com",
        permission_to_send="explicit",
        properties={"first_name": "Old", "last_name": "Kept"},
    )
    api.import_json({"email": "a@x.com", "first_name": "New", "last_name": ""})

    contact = api.box.state.contact("a@x.com")
    assert contact is not None
    assert contact.properties == {"first_name": "New", "last_name": "Kept"}
    assert contact.permission_to_send == "explicit"


def test_case_37_memberships_are_added(api: Api) -> None:
    other = api.box.add_list("Other")
    api.box.add_contact("a@x.com", list_ids=[other])
    api.import_json({"email": "a@x.com"})

    contact = api.box.state.contact("a@x.com")
    assert contact is not None
    assert contact.list_ids == {other, api.list_id}


def test_case_38_unsubscribed_contact_cannot_be_added(api: Api) -> None:
    api.box.add_contact("a@x.com", list_ids=[api.list_id])
    api.box.unsubscribe("a@x.com")
    activity = api.activity(api.import_json({"email": "a@x.com"}, {"email": "b@x.com"}))

    assert activity["state"] == "completed"
    assert activity["status"]["cannot_add_to_list_count"] == 1
    assert set(api.members()) == {"b@x.com"}


def test_case_39_contact_removed_from_the_list_comes_back(api: Api) -> None:
    api.box.add_contact("a@x.com", list_ids=[api.list_id])
    api.box.remove_from_list("a@x.com", api.list_id)
    counters = api.counters(api.import_json({"email": "a@x.com"}))

    assert counters["cannot_add_to_list_count"] == 0
    assert set(api.members()) == {"a@x.com"}


def test_case_40_deleted_contact_is_revived_with_its_permission(api: Api) -> None:
    api.box.add_contact("a@x.com", permission_to_send="explicit", is_deleted=True)
    api.import_json({"email": "a@x.com"})

    contact = api.box.state.contact("a@x.com")
    assert contact is not None
    assert (contact.is_deleted, contact.permission_to_send) == (False, "explicit")
    assert contact.list_ids == {api.list_id}


BAD_ADDRESSES = [
    "plain",
    "a@x",
    "a b@x.com",
    " a@x.com",
    "a,b@x.com",
    "a@x@y.com",
    ".a@x.com",
    "a.@x.com",
    "a..b@x.com",
    "a@-x.com",
    "a@x..com",
    "(a)@x.com",
    "å@x.com",
    f"{'a' * 75}@x.com",
]


@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_case_41_invalid_address_is_correctable_and_the_rest_lands(api: Api, address: str) -> None:
    activity = api.activity(api.import_json({"email": "a@x.com"}, {"email": address}))

    assert activity["state"] == "completed"
    assert activity["status"]["correctable_count"] == 1
    assert set(api.members()) == {"a@x.com"}


@pytest.mark.parametrize(
    "row",
    [
        {"birthday_month": 2},
        {"birthday_day": 2},
        {"birthday_month": 2, "birthday_day": 30},
        {"anniversary": "yesterday"},
        {"first_name": "x" * 51},
        {"street": "x" * 256},
    ],
)
def test_case_42_and_57_bad_values_are_correctable(api: Api, row: dict[str, Any]) -> None:
    assert api.counters(api.import_json({"email": "a@x.com"} | row))["correctable_count"] == 1
    assert api.members() == {}


@pytest.mark.parametrize(
    "row",
    [
        {"birthday_month": 2, "birthday_day": 29},
        {"anniversary": "2020-2-3"},
        {"anniversary": "02/03/2020"},
        {"anniversary": "2-13-2020"},
        {"first_name": "T.J." + "x" * 46},
        {"street": "x" * 255},
        {"home_city": "Boston"},
    ],
)
def test_good_values_are_imported(api: Api, row: dict[str, Any]) -> None:
    assert api.counters(api.import_json({"email": "a@x.com"} | row))["correctable_count"] == 0
    assert api.members() == {"a@x.com": {name: str(value) for name, value in row.items()}}


def test_long_values_are_cut_when_switched_on() -> None:
    with open_api(over_long_values="truncate") as api:
        api.import_json({"email": "a@x.com", "first_name": "x" * 51})
        assert api.members() == {"a@x.com": {"first_name": "x" * 50}}


def test_case_43_row_without_an_address_is_no_contact(api: Api) -> None:
    counters = api.counters(api.import_json({"first_name": "A"}, {"email": None}))

    assert counters["correctable_count"] + counters["error_count"] == 2
    assert api.box.state.contact_count() == 0


def test_case_44_activity_errors_are_strings(api: Api) -> None:
    activity = api.activity(api.import_json({"email": "a@x.com"}, {"email": "bad"}))

    assert activity["activity_errors"] == ["Line 3: Invalid email address"]


def test_case_44_activity_errors_can_be_switched_off() -> None:
    with open_api(activity_errors=False) as api:
        activity = api.activity(api.import_json({"email": "bad"}))
        assert activity["activity_errors"] == []


def test_case_45_last_row_of_an_address_wins(api: Api) -> None:
    rows = ({"email": "a@x.com", "first_name": name} for name in ("First", "Last"))
    api.import_json(*rows)

    assert api.members() == {"a@x.com": {"first_name": "Last"}}


def test_case_46_address_is_stored_in_lower_case(api: Api) -> None:
    api.box.add_contact("a@x.com")
    api.import_json({"email": "A@X.com"})

    assert set(api.members()) == {"a@x.com"}
    assert api.box.state.contact_count() == 1
