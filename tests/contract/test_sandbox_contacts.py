"""Cases 83 to 102: contacts as the API tells them, and activities over known contacts."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.sandbox_api import NOBODY, Api, error_keys, open_api


@pytest.fixture
def api() -> Iterator[Api]:
    with open_api() as api:
        yield api


def addresses(api: Api, **parameters: Any) -> list[str]:
    answer = api.get("/contacts", params=parameters)
    assert answer.status_code == 200, answer.text
    return [one["email_address"]["address"] for one in answer.json()["contacts"]]


def test_cases_83_and_84_pages_keep_their_filters(api: Api) -> None:
    for number in range(7):
        lists = [api.list_id] if number % 2 else []
        api.box.add_contact(f"{number}@x.com", list_ids=lists)
    query = {"limit": 2, "lists": api.list_id, "include": "list_memberships"}
    content = api.get("/contacts", params=query).json()
    pages = [content["contacts"]]
    while "_links" in content:
        href = content["_links"]["next"]["href"]
        assert href.startswith("/v3/contacts?cursor=")
        content = api.get(api.box.api_url.removesuffix("/v3") + href).json()
        pages.append(content["contacts"])

    told = [[one["email_address"]["address"] for one in page] for page in pages]
    assert told == [["1@x.com", "3@x.com"], ["5@x.com"]]
    assert all(one["list_memberships"] == [api.list_id] for page in pages for one in page)


@pytest.mark.parametrize(("count", "pages"), [(500, 1), (501, 2)])
def test_case_83_last_page_has_no_next(api: Api, count: int, pages: int) -> None:
    api.import_csv("email\n" + "".join(f"{n}@x.com\n" for n in range(count)))
    content = api.get("/contacts", params={"limit": 500, "lists": api.list_id}).json()

    assert len(content["contacts"]) == 500
    assert ("_links" in content) == (pages == 2)


@pytest.mark.parametrize("limit", [0, 501])
def test_bad_limit_of_contacts_is_refused(api: Api, limit: int) -> None:
    assert api.get("/contacts", params={"limit": limit}).status_code == 400


def test_case_85_deleted_contacts_are_told_only_when_asked_for(api: Api) -> None:
    api.box.add_contact("a@x.com")
    api.box.add_contact("b@x.com", is_deleted=True)
    api.box.add_contact("c@x.com", permission_to_send="unsubscribed")

    assert addresses(api) == ["a@x.com", "c@x.com"]
    assert addresses(api, status="all") == ["a@x.com", "b@x.com", "c@x.com"]
    assert addresses(api, status="deleted") == ["b@x.com"]
    assert addresses(api, status="active") == ["a@x.com"]
    assert addresses(api, status="unsubscribed,deleted") == ["b@x.com", "c@x.com"]
    assert api.get("/contacts", params={"status": "gone"}).status_code == 400


def test_case_86_plus_in_an_address_must_be_encoded(api: Api) -> None:
    api.box.add_contact("a+b@x.com")

    assert addresses(api, email="a+b@x.com") == ["a+b@x.com"]
    assert api.get("/contacts?email=a%2Bb@x.com").json()["contacts"] != []
    assert api.get("/contacts?email=a+b@x.com").json()["contacts"] == []


def test_case_87_subresources_are_absent_unless_included(api: Api) -> None:
    name = api.box.add_custom_field("Tier")
    api.box.add_contact(
        "a@x.com", list_ids=[api.list_id], properties={f"cf:{name}": "gold", "street": "1 Main St"}
    )
    (plain,) = api.get("/contacts").json()["contacts"]
    included = "custom_fields,list_memberships,phone_numbers,street_addresses,taggings,notes"
    (full,) = api.get("/contacts", params={"include": included}).json()["contacts"]

    assert not set(plain) & set(included.split(","))
    assert full["list_memberships"] == [api.list_id]
    assert [one["value"] for one in full["custom_fields"]] == ["gold"]
    assert full["street_addresses"] == [{"kind": "other", "street": "1 Main St"}]
    assert full["phone_numbers"] == full["taggings"] == full["notes"] == []
    assert api.get("/contacts", params={"include": "lists"}).status_code == 400


@pytest.mark.parametrize(("count", "status"), [(25, 200), (26, 400)])
def test_case_88_at_most_25_lists(api: Api, count: int, status: int) -> None:
    lists = ",".join([api.list_id] * count)

    assert api.get("/contacts", params={"lists": lists}).status_code == status


def test_contacts_are_counted_when_asked_for(api: Api) -> None:
    for number in range(3):
        api.box.add_contact(f"{number}@x.com")
    content = api.get("/contacts", params={"limit": 1, "include_count": "true"}).json()

    assert content["contacts_count"] == 3


@pytest.mark.parametrize("form", ["Z", "+00:00", "+0000", ".000000+0000", "+0530"])
def test_contacts_are_found_by_time(api: Api, form: str) -> None:
    api.box.add_contact("old@x.com")
    api.clock.advance(7_200)
    api.box.add_contact("new@x.com")
    noon = "2026-03-02T18:30:00" if form == "+0530" else "2026-03-02T13:00:00"

    assert addresses(api, created_after=noon + form) == ["new@x.com"]
    assert addresses(api, updated_before=noon + form) == ["old@x.com"]
    assert api.get("/contacts", params={"created_after": "soon"}).status_code == 400


def test_opted_out_contacts_are_found_by_time(api: Api) -> None:
    api.box.add_contact("a@x.com")
    api.box.add_contact("b@x.com")
    api.box.unsubscribe("b@x.com")

    assert addresses(api, optout_after="2026-03-02T00:00:00Z") == ["b@x.com"]
    assert addresses(api, optout_before="2026-03-02T00:00:00Z") == []


def test_case_91_contacts_are_counted_by_consent(api: Api) -> None:
    for number, permission in enumerate(
        ["implicit", "implicit", "explicit", "unsubscribed", "pending_confirmation"]
    ):
        api.box.add_contact(f"{number}@x.com", permission_to_send=permission)
    api.box.add_contact("gone@x.com", is_deleted=True)
    counts = {"total": 5, "explicit": 1, "implicit": 2, "pending": 1, "unsubscribed": 1}

    assert api.get("/contacts/counts").json() == counts
    extended = api.get("/contacts/counts", params={"include": "new_subscriber"}).json()
    assert extended == counts | {"new_subscriber": 5}


def test_case_97_contacts_are_removed_from_lists_and_stay(api: Api) -> None:
    api.import_csv("email\n" + "".join(f"{n}@x.com\n" for n in range(501)))
    content = api.get("/contacts", params={"limit": 500}).json()
    ids = [one["contact_id"] for one in content["contacts"]]
    body = {"source": {"contact_ids": ids}, "list_ids": [api.list_id]}
    accepted = api.post("/activities/remove_list_memberships", body)

    assert accepted.status_code == 201
    counters = api.counters(accepted)
    assert counters == {"items_total_count": 500, "items_completed_count": 500, "list_count": 1}
    assert set(api.members()) == {"500@x.com"}
    assert api.box.state.contact_count() == 501


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"source": {"contact_ids": [NOBODY] * 501}}, id="case 98"),
        pytest.param({"source": {"contact_ids": [NOBODY], "list_ids": [NOBODY]}}, id="case 99"),
        pytest.param({"source": {}}, id="no source"),
        pytest.param({"source": {"segment_id": 3}}, id="segment"),
        pytest.param({"list_ids": []}, id="no lists"),
        pytest.param({"list_ids": [NOBODY] * 51}, id="too many lists"),
        pytest.param({"source": {"contact_ids": "all"}}, id="no array"),
        pytest.param({"exclude": {"contact_ids": [NOBODY]}}, id="exclude from ids"),
    ],
)
def test_cases_98_and_99_bad_sources_are_refused(api: Api, change: dict[str, Any]) -> None:
    body = {"source": {"contact_ids": [NOBODY]}, "list_ids": [api.list_id]} | change
    refused = api.post("/activities/remove_list_memberships", body)

    assert refused.status_code == 400
    assert error_keys(refused) == ["contacts.api.validation.error"]


@pytest.mark.parametrize(("is_added", "members"), [(False, {"a"}), (True, {"a", "b"})])
def test_case_100_unsubscribed_contacts_are_not_added(*, is_added: bool, members: set[str]) -> None:
    with open_api(unsubscribed_can_be_added=is_added) as api:
        ids = [api.box.add_contact("a@x.com"), api.box.add_contact("b@x.com")]
        api.box.unsubscribe("b@x.com")
        body = {"source": {"contact_ids": ids}, "list_ids": [api.list_id]}
        api.post("/activities/add_list_memberships", body)

        assert set(api.members()) == {f"{name}@x.com" for name in members}


def test_contacts_of_a_list_are_added_to_another_but_for_some(api: Api) -> None:
    other = api.box.add_list("Other")
    ids = [api.box.add_contact(f"{n}@x.com", list_ids=[api.list_id]) for n in range(3)]
    body = {
        "source": {"list_ids": [api.list_id]},
        "exclude": {"contact_ids": ids[:1]},
        "list_ids": [other],
    }
    api.post("/activities/add_list_memberships", body)

    assert set(api.box.state.members(other)) == {"1@x.com", "2@x.com"}


def test_all_active_contacts_are_added(api: Api) -> None:
    api.box.add_contact("a@x.com")
    api.box.add_contact("b@x.com", is_deleted=True)
    body = {"source": {"all_active_contacts": True}, "list_ids": [api.list_id]}
    api.post("/activities/add_list_memberships", body)

    assert set(api.members()) == {"a@x.com"}


@pytest.mark.parametrize("body", [{"contact_ids": [NOBODY], "list_ids": [NOBODY]}, {}])
def test_case_101_ids_and_lists_exclude_each_other(api: Api, body: dict[str, Any]) -> None:
    assert api.post("/activities/contact_delete", body).status_code == 400


@pytest.mark.parametrize("kind", ["contact_ids", "list_ids"])
def test_case_102_deleted_contact_keeps_its_record_and_permission(api: Api, kind: str) -> None:
    contact_id = api.box.add_contact(
        "a@x.com", list_ids=[api.list_id], permission_to_send="explicit"
    )
    body = {kind: [contact_id if kind == "contact_ids" else api.list_id]}
    accepted = api.post("/activities/contact_delete", body)

    assert accepted.status_code == 201
    assert api.activity(accepted)["state"] == "completed"
    (contact,) = api.get("/contacts", params={"status": "all"}).json()["contacts"]
    assert contact["deleted_at"] == "2026-03-02"
    assert contact["email_address"]["permission_to_send"] == "explicit"
    assert api.members() == {}
