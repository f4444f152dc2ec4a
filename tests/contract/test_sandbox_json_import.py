"""Cases 32 to 34 and 47 to 58: what a JSON import accepts."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.sandbox_api import NOBODY, Api, error_keys, open_api

INVALID = ["contacts.api.validation.error"]


@pytest.fixture
def api() -> Iterator[Api]:
    with open_api() as api:
        yield api


def test_case_32_import_is_accepted_as_an_initialized_activity(api: Api) -> None:
    accepted = api.import_json({"email": "a@x.com"}, {"email": "b@x.com"})

    content = accepted.json()
    assert accepted.status_code == 201
    assert content["state"] == "initialized"
    assert content["_links"] == {"self": {"href": f"/v3/activities/{content['activity_id']}"}}
    assert "type" not in content
    assert "source_file_name" not in content


def test_cases_33_and_34_activity_takes_its_time() -> None:
    with open_api(initialized_s=2.0, processing_s=8.0) as api:
        accepted = api.import_json({"email": "a@x.com"}, {"email": "b@x.com"})
        seen = []
        for seconds in (1, 5, 4):
            api.clock.advance(seconds)
            activity = api.activity(accepted)
            seen.append((activity["state"], activity["percent_done"], "completed_at" in activity))

        assert seen == [
            ("initialized", 0, False),
            ("processing", 50, False),
            ("completed", 100, True),
        ]
        assert api.activity(accepted)["completed_at"] == "2026-03-02T12:00:10.000Z"
        assert api.counters(accepted) == {
            "items_total_count": 3,
            "person_count": 2,
            "error_count": 0,
            "correctable_count": 0,
            "cannot_add_to_list_count": 0,
        }


def test_nothing_is_imported_before_the_activity_is_done() -> None:
    with open_api(processing_s=8.0) as api:
        api.import_json({"email": "a@x.com"})
        api.clock.advance(7)
        assert api.members() == {}
        api.clock.advance(1)
        assert set(api.members()) == {"a@x.com"}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"list_ids": []}, id="case 47, none"),
        pytest.param({"list_ids": None}, id="case 47, null"),
        pytest.param({"list_ids": [str(uuid.uuid4()) for _ in range(51)]}, id="case 48"),
        pytest.param({"import_data": None}, id="case 49"),
        pytest.param({"list_ids": [NOBODY]}, id="case 51"),
        pytest.param({"list_ids": ["Main"]}, id="no UUID"),
        pytest.param({"import_data": ["a@x.com"]}, id="row is no object"),
        pytest.param({"import_data": [{"email": "a@x.com", "age": "3"}]}, id="unknown column"),
        pytest.param({"import_data": [{"email": "a@x.com", "cf:n": 3}]}, id="number"),
        pytest.param({"import_data": [{"email": "a", "birthday_day": "3"}]}, id="text"),
        pytest.param({"source": "mine"}, id="unknown property"),
    ],
)
def test_cases_47_to_51_invalid_requests_are_refused(api: Api, changes: dict[str, Any]) -> None:
    api.box.add_custom_field("n")
    refused = api.import_json({"email": "a@x.com"}, **changes)

    assert refused.status_code == 400
    assert error_keys(refused) == INVALID
    assert api.box.state.activities() == []


@pytest.mark.parametrize("key", ["import_data", "list_ids"])
def test_cases_47_and_49_missing_properties_are_refused(api: Api, key: str) -> None:
    body = {"list_ids": [api.list_id], "import_data": [{"email": "a@x.com"}]}
    del body[key]

    assert error_keys(api.post("/activities/contacts_json_import", body)) == INVALID


def test_case_50_malformed_json_is_refused(api: Api) -> None:
    headers = {"Content-Type": "application/json"}
    refused = api.http.post(
        "/activities/contacts_json_import", content=b'{"import_data": [', headers=headers
    )

    assert refused.status_code == 400
    assert error_keys(refused) == INVALID


def test_case_51_unknown_list_fails_the_activity_when_switched() -> None:
    with open_api(unknown_list="fail") as api:
        accepted = api.import_json({"email": "a@x.com"}, list_ids=[NOBODY])
        assert api.activity(accepted)["state"] == "failed"


def test_case_52_rows_beyond_the_limit_are_silently_dropped(api: Api) -> None:
    rows = [{"email": f"c{n}@x.com", "street": "s" * 200} for n in range(20_000)]
    body = json.dumps({"list_ids": [api.list_id], "import_data": rows}).encode()
    accepted = api.http.post(
        "/activities/contacts_json_import",
        content=body,
        headers={"Content-Type": "application/json"},
    )

    activity = api.activity(accepted)
    assert len(body) > 4_200_000
    assert activity["state"] == "completed"
    assert activity["activity_errors"] == []
    assert 0 < activity["status"]["person_count"] == len(api.members()) < 20_000


def test_case_53_rows_after_the_limit_are_not_processed() -> None:
    with open_api(json_row_limit=3) as api:
        counters = api.counters(api.import_json(*({"email": f"{n}@x.com"} for n in range(4))))
        assert counters["person_count"] == 3


def test_case_53_too_many_rows_are_refused_when_switched() -> None:
    with open_api(json_row_limit=3, over_long_json="refuse") as api:
        assert api.import_json(*({"email": f"{n}@x.com"} for n in range(4))).status_code == 400


def test_case_54_address_of_60_characters_is_accepted(api: Api) -> None:
    address = f"{'a' * 54}@x.com"
    api.import_json({"email": address})

    assert set(api.members()) == {address}


def test_case_54_address_over_50_characters_is_refused_when_switched() -> None:
    with open_api(json_email_max_length=50, over_long_json_email="refuse") as api:
        assert api.import_json({"email": f"{'a' * 54}@x.com"}).status_code == 400


def test_case_55_unknown_custom_field_is_ignored(api: Api) -> None:
    name = api.box.add_custom_field("Tier")
    api.import_json({"email": "a@x.com", f"cf:{name}": "gold", "cf:unknown": "x"})

    assert api.members() == {"a@x.com": {"cf:Tier": "gold"}}


def test_case_55_unknown_custom_field_is_refused_when_switched() -> None:
    with open_api(unknown_custom_fields="refuse") as api:
        assert api.import_json({"email": "a@x.com", "cf:unknown": "x"}).status_code == 400


@pytest.mark.parametrize(("count", "status"), [(25, 201), (26, 400)])
def test_case_56_more_than_25_custom_fields_are_refused(api: Api, count: int, status: int) -> None:
    names = [api.box.add_custom_field(f"F{n}") for n in range(count)]
    row = {"email": "a@x.com"} | {f"cf:{name}": "v" for name in names}

    assert api.import_json(row).status_code == status


@pytest.mark.parametrize(("length", "correctable"), [(255, 0), (256, 1)])
def test_case_57_long_custom_value_is_correctable(api: Api, length: int, correctable: int) -> None:
    api.box.add_custom_field("Tier")
    accepted = api.import_json({"email": "a@x.com", "cf:Tier": "x" * length})

    assert api.counters(accepted)["correctable_count"] == correctable


def test_case_58_role_address_is_accepted(api: Api) -> None:
    api.import_json({"email": "postmaster@x.com"})

    assert set(api.members()) == {"postmaster@x.com"}


def test_case_107_abused_address_counts_as_invalid() -> None:
    with open_api(abused_addresses=frozenset({"a@x.com"})) as api:
        assert api.counters(api.import_json({"email": "A@x.com"}))["correctable_count"] == 1


def test_person_count_is_of_the_imported_when_switched() -> None:
    with open_api(person_count_counts="imported") as api:
        counters = api.counters(api.import_json({"email": "a@x.com"}, {"email": "bad"}))
        assert (counters["items_total_count"], counters["person_count"]) == (3, 1)


def test_case_90_sms_only_contact_has_no_address(api: Api) -> None:
    api.import_json({"sms_number": "781-555-1212"}, sms_permission_to_send="not_set")

    (contact,) = api.get("/contacts").json()["contacts"]
    assert "email_address" not in contact
    assert contact["sms_channel"]["sms_address"] == "781-555-1212"


def test_sms_number_without_permission_is_refused(api: Api) -> None:
    assert api.import_json({"sms_number": "7815551212"}).status_code == 400
