"""Cases 69 to 75: activities as the API tells them."""

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox import Fault
from tests.contract.sandbox_api import NOBODY, Api, error_keys, open_api

DAY_S = 86_400


@pytest.fixture
def api() -> Iterator[Api]:
    with open_api() as api:
        yield api


def follow(api: Api, path: str, key: str, **parameters: Any) -> list[list[dict[str, Any]]]:
    """Return all pages of a collection, following each `next` verbatim."""
    content = api.get(path, params=parameters).json()
    pages = [content[key]]
    while "_links" in content:
        href = content["_links"]["next"]["href"]
        assert href.startswith("/v3/")
        content = api.get(api.box.api_url.removesuffix("/v3") + href).json()
        pages.append(content[key])
    return pages


def test_case_69_collection_comes_in_pages_of_50(api: Api) -> None:
    made = [api.import_csv("email\na@x.com\n").json()["activity_id"] for _ in range(101)]
    pages = follow(api, "/activities", "activities")

    assert [len(page) for page in pages] == [50, 50, 1]
    assert [one["activity_id"] for page in pages for one in page] == made[::-1]


def test_case_69_last_full_page_has_no_next(api: Api) -> None:
    for _ in range(4):
        api.import_csv("email\na@x.com\n")

    assert [len(page) for page in follow(api, "/activities", "activities", limit=2)] == [2, 2]


def test_pages_stay_stable_while_activities_are_added(api: Api) -> None:
    made = [api.import_csv("email\na@x.com\n").json()["activity_id"] for _ in range(4)]
    content = api.get("/activities", params={"limit": 2}).json()
    api.import_csv("email\na@x.com\n")
    href = content["_links"]["next"]["href"]
    second = api.get(api.box.api_url.removesuffix("/v3") + href).json()

    assert [one["activity_id"] for one in second["activities"]] == [made[1], made[0]]


@pytest.mark.parametrize("limit", ["0", "501", "-1", "ten", ""])
def test_case_70_bad_limit_is_refused(api: Api, limit: str) -> None:
    refused = api.get("/activities", params={"limit": limit})

    assert refused.status_code == 400
    assert error_keys(refused) == ["contacts.api.validation.error"]


@pytest.mark.parametrize("state", ["initialized", "time_out", ""])
def test_case_71_bad_state_is_refused(api: Api, state: str) -> None:
    assert api.get("/activities", params={"state": state}).status_code == 400


def test_case_72_state_selects() -> None:
    with open_api(processing_s=10.0) as api:
        api.import_csv("email\na@x.com\n", file_name="1.csv")
        api.clock.advance(10)
        api.import_csv("email\na@x.com\n", file_name="2.csv")
        names = {
            state: [
                one["source_file_name"]
                for one in api.get("/activities", params={"state": state}).json()["activities"]
            ]
            for state in ("processing", "completed", "failed")
        }

        assert names == {"processing": ["2.csv"], "completed": ["1.csv"], "failed": []}


def test_case_73_activities_are_forgotten_after_ten_days(api: Api) -> None:
    accepted = api.import_csv("email\na@x.com\n")
    headers = {"Authorization": "Bearer "}
    path = f"/activities/{accepted.json()['activity_id']}"
    seen = []
    for seconds in (10 * DAY_S, 1):
        api.clock.advance(seconds)
        headers["Authorization"] = f"Bearer {api.box.access_token()}"
        collection = api.get("/activities", headers=headers).json()["activities"]
        seen.append((len(collection), api.get(path, headers=headers).status_code))

    assert seen == [(1, 200), (0, 404)]
    assert set(api.members()) == {"a@x.com"}


def test_case_74_unknown_activity_is_404(api: Api) -> None:
    refused = api.get(f"/activities/{NOBODY}")

    assert refused.status_code == 404
    assert error_keys(refused) == ["contacts.api.not_found"]


@pytest.mark.parametrize("state", ["failed", "cancelled", "timed_out"])
def test_case_75_activity_ends_otherwise(api: Api, state: str) -> None:
    api.box.script(Fault("file_import", "outcome", state=state))
    activity = api.activity(api.import_csv("email\na@x.com\n"))

    assert activity["state"] == state
    assert api.members() == {}
    found = api.get("/activities", params={"state": state}).json()["activities"]
    assert [one["activity_id"] for one in found] == [activity["activity_id"]]


def test_unknown_parameters_are_refused_unless_switched_off(api: Api) -> None:
    assert api.get("/activities", params={"page": 2}).status_code == 400
    with open_api(refuse_unknown_parameters=False) as lenient:
        assert lenient.get("/activities", params={"page": 2}).status_code == 200


def test_cursor_travels_alone(api: Api) -> None:
    for _ in range(2):
        api.import_csv("email\na@x.com\n")
    content = api.get("/activities", params={"limit": 1}).json()
    href = api.box.api_url.removesuffix("/v3") + content["_links"]["next"]["href"]

    assert api.get(href).status_code == 200
    assert api.get(f"{href}&limit=1").status_code == 400
    assert api.get("/activities", params={"cursor": "nonsense"}).status_code == 400
