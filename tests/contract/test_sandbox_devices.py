"""Cases 11 to 14: how a device without a browser is allowed access."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.contract.consent import SCOPE, decide, said
from tests.contract.sandbox_api import Api, open_api

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@pytest.fixture
def api() -> Iterator[Api]:
    with open_api() as api:
        yield api


def start_device(api: Api, **changes: str) -> dict[str, Any]:
    fields = {"client_id": api.box.client_id, "scope": SCOPE} | changes
    answer = httpx.post(f"{api.box.auth_url}/device/authorize", data=fields)
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


def poll(api: Api, device_code: str, **changes: str) -> httpx.Response:
    fields = {
        "client_id": api.box.client_id,
        "device_code": device_code,
        "grant_type": DEVICE_GRANT,
    } | changes
    return httpx.post(f"{api.box.auth_url}/token", data=fields)


def test_case_11_device_is_given_codes(api: Api) -> None:
    told = start_device(api)

    assert set(told) == {
        "device_code", "user_code", "verification_uri", "verification_uri_complete",
        "expires_in", "interval",
    }  # fmt: skip
    assert re.fullmatch(r"[A-Z]{4}-[A-Z]{4}", told["user_code"])
    assert told["verification_uri_complete"].endswith(f"?user_code={told['user_code']}")
    assert (told["expires_in"], told["interval"]) == (600, 5)


def test_case_11_device_may_ask_in_the_query_string(api: Api) -> None:
    answer = httpx.post(
        f"{api.box.auth_url}/device/authorize",
        params={"client_id": api.box.client_id, "scope": SCOPE},
    )

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"scope": "everything"}, 400, "invalid_scope"),
    ],
)
def test_senseless_device_is_refused(
    api: Api, changes: dict[str, str], status: int, error: str
) -> None:
    fields = {"client_id": api.box.client_id, "scope": SCOPE} | changes
    answer = httpx.post(f"{api.box.auth_url}/device/authorize", data=fields)

    assert said(answer) == (status, error)


def test_case_12_device_waits_until_a_person_allows_it(api: Api) -> None:
    device = start_device(api)

    assert said(poll(api, device["device_code"])) == (400, "authorization_pending")
    page = httpx.get(device["verification_uri_complete"])
    assert "Segment export" in page.text
    assert "Device activated" in decide(page).text
    api.clock.advance(5)
    tokens = poll(api, device["device_code"])
    assert tokens.status_code == 200
    assert tokens.json()["scope"] == SCOPE
    form = {
        "grant_type": "refresh_token",
        "client_id": api.box.client_id,
        "refresh_token": tokens.json()["refresh_token"],
    }
    assert httpx.post(f"{api.box.auth_url}/token", data=form).status_code == 200
    api.clock.advance(5)
    assert said(poll(api, device["device_code"])) == (400, "invalid_grant")


def test_case_12_device_is_told_when_a_person_denies_it(api: Api) -> None:
    device = start_device(api)
    decide(httpx.get(device["verification_uri_complete"]), "deny")

    assert said(poll(api, device["device_code"])) == (400, "access_denied")


def test_case_13_hasty_device_must_slow_down(api: Api) -> None:
    code = start_device(api)["device_code"]
    answers = []
    for pause_s in (0, 4, 9, 15):
        api.clock.advance(pause_s)
        answers.append(said(poll(api, code))[1])

    assert answers == ["authorization_pending", "slow_down", "slow_down", "authorization_pending"]


def test_case_14_device_code_expires(api: Api) -> None:
    device = start_device(api)
    api.clock.advance(600)

    assert said(poll(api, device["device_code"])) == (400, "expired_token")
    assert "No device waits" in httpx.get(device["verification_uri_complete"]).text


def test_user_code_is_found_whatever_its_case_and_dash(api: Api) -> None:
    device = start_device(api)
    typed = device["user_code"].lower().replace("-", "")
    page = httpx.get(device["verification_uri"], params={"user_code": typed})

    assert "Allow" in page.text
    assert "Code on the device" in httpx.get(device["verification_uri"]).text


def test_device_code_is_good_only_for_who_asked_for_it(api: Api) -> None:
    other = api.box.add_client(is_public=True)
    answer = poll(api, start_device(api)["device_code"], client_id=other.client_id)

    assert said(answer) == (400, "invalid_grant")
