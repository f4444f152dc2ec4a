"""Cases 76 to 82 and 94 to 96: contact lists and custom fields."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.sandbox_api import NOBODY, Api, error_keys, open_api


@pytest.fixture
def api() -> Iterator[Api]:
    with open_api() as api:
        yield api


def names(api: Api, **parameters: Any) -> list[str]:
    return [one["name"] for one in api.get("/contact_lists", params=parameters).json()["lists"]]


def test_case_76_lists_with_counts(api: Api) -> None:
    api.box.add_contact("a@x.com", list_ids=[api.list_id])
    api.box.add_contact("b@x.com", list_ids=[api.list_id], permission_to_send="temp_hold")
    query = {"limit": 1_000, "include_count": "true"}
    counts = {}
    for counting in ("active", "all"):
        content = api.get(
            "/contact_lists", params=query | {"include_membership_count": counting}
        ).json()
        counts[counting] = content["lists"][0]["membership_count"]

    assert content["lists_count"] == 1
    assert content["lists"][0]["list_id"] == api.list_id
    assert counts == {"active": 1, "all": 2}


def test_lists_come_in_pages(api: Api) -> None:
    for number in range(60):
        api.box.add_list(f"List {number}")
    first = api.get("/contact_lists", params={"include_count": "true"}).json()
    href = first["_links"]["next"]["href"]
    second = api.get(api.box.api_url.removesuffix("/v3") + href).json()

    assert (len(first["lists"]), len(second["lists"])) == (50, 11)
    assert second["lists_count"] == 61
    assert "_links" not in second
    assert len(names(api, limit=1_000)) == 61


@pytest.mark.parametrize("limit", [0, 1_001])
def test_bad_limit_of_lists_is_refused(api: Api, limit: int) -> None:
    assert api.get("/contact_lists", params={"limit": limit}).status_code == 400


def test_case_77_bad_membership_count_is_refused(api: Api) -> None:
    refused = api.get("/contact_lists", params={"include_membership_count": "foo"})

    assert refused.status_code == 400
    assert refused.json()[0]["error_message"] == (
        "include_membership_count does not have a valid value"
    )


def test_lists_are_found_by_name_status_and_channel(api: Api) -> None:
    gone = api.box.add_list("Gone")
    api.http.delete(f"/contact_lists/{gone}")

    assert names(api) == ["Main"]
    assert names(api, status="deleted") == ["Gone"]
    assert names(api, status="active,deleted") == ["Main", "Gone"]
    assert names(api, status="all", name="Gone") == ["Gone"]
    assert names(api, name="Mai") == []
    assert names(api, channel_type="sms") == []


def test_list_is_told_by_its_id(api: Api) -> None:
    content = api.get(f"/contact_lists/{api.list_id}").json()

    assert content["name"] == "Main"
    assert "membership_count" not in content


@pytest.mark.parametrize("list_id", [NOBODY, "1204560001"])
def test_case_78_unknown_list_is_404(api: Api, list_id: str) -> None:
    refused = api.get(f"/contact_lists/{list_id}")

    assert refused.status_code == 404
    assert error_keys(refused) == ["contacts.api.not_found"]


def test_case_79_list_is_created(api: Api) -> None:
    created = api.post("/contact_lists", {"name": "X", "description": "D", "favorite": True})

    assert created.status_code == 201
    assert "membership_count" not in created.json()
    assert api.get(f"/contact_lists/{created.json()['list_id']}").json() == created.json()


def test_case_80_name_in_use_is_a_conflict(api: Api) -> None:
    refused = api.post("/contact_lists", {"name": "Main"})

    assert refused.status_code == 409
    assert error_keys(refused) == ["contacts.api.conflict"]


@pytest.mark.parametrize(("length", "status"), [(0, 400), (255, 201), (256, 400)])
def test_case_81_name_has_at_most_255_characters(api: Api, length: int, status: int) -> None:
    assert api.post("/contact_lists", {"name": "x" * length}).status_code == status


def test_case_82_list_is_deleted_and_its_contacts_stay(api: Api) -> None:
    api.box.add_contact("a@x.com", list_ids=[api.list_id])
    accepted = api.http.delete(f"/contact_lists/{api.list_id}")

    assert accepted.status_code == 202
    assert accepted.headers["location"] == f"/v3/activities/{accepted.json()['activity_id']}"
    assert api.activity(accepted)["state"] == "completed"
    assert api.get(f"/contact_lists/{api.list_id}").json()["deleted_at"]
    contact = api.box.state.contact("a@x.com")
    assert contact is not None
    assert (contact.list_ids, contact.is_deleted) == (frozenset(), False)
    assert api.import_csv("email\na@x.com\n").status_code == 404


def test_list_deleted_before_an_import_runs_fails_it() -> None:
    with open_api(processing_s=5.0) as api:
        api.http.delete(f"/contact_lists/{api.list_id}")
        accepted = api.import_csv("email\na@x.com\n")
        api.clock.advance(5)
        assert api.activity(accepted)["state"] == "failed"


def test_xrefs_tell_the_ids_of_the_numbers_in_web_addresses(api: Api) -> None:
    other = api.box.add_list("Other")
    numbers = [api.box.state.sequence_id(one) for one in (other, api.list_id)]
    answer = api.get("/contact_lists/list_id_xrefs", params={"sequence_ids": ",".join(numbers)})

    assert answer.json() == {
        "xrefs": [
            {"sequence_id": numbers[1], "list_id": api.list_id},
            {"sequence_id": numbers[0], "list_id": other},
        ]
    }


@pytest.mark.parametrize("numbers", ["", "abc", ",".join(["1"] * 501)])
def test_bad_xrefs_are_refused(api: Api, numbers: str) -> None:
    answer = api.get("/contact_lists/list_id_xrefs", params={"sequence_ids": numbers})

    assert answer.status_code == 400


def test_unknown_xrefs_are_left_out(api: Api) -> None:
    answer = api.get("/contact_lists/list_id_xrefs", params={"sequence_ids": "1,2"})

    assert answer.json() == {"xrefs": []}


@pytest.mark.parametrize(("is_lower", "name"), [(False, "Customer_ID"), (True, "customer_id")])
def test_case_94_name_of_a_custom_field_is_made_of_its_label(*, is_lower: bool, name: str) -> None:
    with open_api(lower_case_custom_field_names=is_lower) as api:
        created = api.post("/contact_custom_fields", {"label": "Customer ID", "type": "string"})

        assert created.status_code == 201
        assert created.json()["name"] == name
        assert created.json()["label"] == "Customer ID"
        assert api.get("/contact_custom_fields").json()["custom_fields"] == [created.json()]


@pytest.mark.parametrize(
    "content",
    [
        {"label": "", "type": "string"},
        {"label": "x" * 51, "type": "string"},
        {"label": "x", "type": "colour"},
        {"label": "x"},
        ["x"],
    ],
)
def test_bad_custom_field_is_refused(api: Api, content: Any) -> None:
    assert api.post("/contact_custom_fields", content).status_code == 400


def test_custom_field_that_exists_is_a_conflict(api: Api) -> None:
    api.box.add_custom_field("Tier")

    assert api.post("/contact_custom_fields", {"label": "Tier", "type": "string"}).status_code == (
        409
    )


def test_custom_field_must_be_json(api: Api) -> None:
    assert api.http.post("/contact_custom_fields", content=b"{}").status_code == 415


def test_cases_95_and_96_custom_fields_end_at_100(api: Api) -> None:
    for number in range(100):
        api.box.add_custom_field(f"Field {number}")

    assert api.post("/contact_custom_fields", {"label": "x", "type": "string"}).status_code == 400
    assert api.get("/contact_custom_fields", params={"limit": 101}).status_code == 400
    whole = api.get("/contact_custom_fields", params={"limit": 100}).json()
    assert len(whole["custom_fields"]) == 100
    assert "_links" not in whole
    first = api.get("/contact_custom_fields").json()
    href = first["_links"]["next"]["href"]
    second = api.get(api.box.api_url.removesuffix("/v3") + href).json()
    assert first["custom_fields"] + second["custom_fields"] == whole["custom_fields"]


def test_unknown_resource_is_404_and_unknown_method_405(api: Api) -> None:
    assert api.get("/contact_tags").status_code == 404
    assert api.http.put("/contact_lists", json={}).status_code == 405
