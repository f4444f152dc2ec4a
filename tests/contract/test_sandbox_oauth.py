"""Cases 4 to 6 and 15 to 27: tokens, and what they open."""

import base64
import json
from collections.abc import Iterator

import httpx
import pytest

from sandbox import CAMPAIGN_CREATOR
from tests.contract.sandbox_api import Api, open_api

DAY_S = 86_400
DEAD_GRANT = {
    "error": "invalid_grant",
    "error_description": "The refresh token is invalid or expired.",
}


@pytest.fixture
def api() -> Iterator[Api]:
    with open_api() as api:
        yield api


def test_case_15_rotating_refresh_returns_a_new_refresh_token(api: Api) -> None:
    answer = api.refresh(api.box.refresh_token)

    assert answer.status_code == 200
    tokens = answer.json()
    assert tokens["refresh_token"] != api.box.refresh_token
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == 86_400
    assert tokens["scope"].split() == ["account_read", "contact_data", "offline_access"]
    assert 1_000 <= len(tokens["access_token"]) <= 1_200
    claims = json.loads(base64.urlsafe_b64decode(tokens["access_token"].split(".")[1] + "=="))
    assert claims["scp"] == tokens["scope"].split()
    assert claims["exp"] == int(api.clock.utc_s()) + 86_400


def test_case_16_spent_refresh_token_is_an_invalid_grant(api: Api) -> None:
    api.refresh(api.box.refresh_token)
    again = api.refresh(api.box.refresh_token)

    assert again.status_code == 400
    assert again.json() == DEAD_GRANT


def test_case_17_newest_token_survives_reuse_of_a_spent_one(api: Api) -> None:
    newest = api.refresh(api.box.refresh_token).json()["refresh_token"]
    api.refresh(api.box.refresh_token)

    assert api.refresh(newest).status_code == 200


def test_case_17_reuse_revokes_the_family_when_switched_on() -> None:
    with open_api(reuse_revokes_family=True) as api:
        newest = api.refresh(api.box.refresh_token).json()["refresh_token"]
        api.refresh(api.box.refresh_token)

        assert api.refresh(newest).json() == DEAD_GRANT


def test_case_18_long_lived_refresh_returns_the_same_refresh_token() -> None:
    with open_api(rotating_refresh_tokens=False) as api:
        answers = [api.refresh(api.box.refresh_token) for _ in range(3)]

        assert [one.status_code for one in answers] == [200, 200, 200]
        assert {one.json()["refresh_token"] for one in answers} == {api.box.refresh_token}


@pytest.mark.parametrize("is_rotating", [True, False])
def test_case_19_refresh_token_dies_after_180_idle_days(*, is_rotating: bool) -> None:
    with open_api(rotating_refresh_tokens=is_rotating) as api:
        api.clock.advance(180 * DAY_S)
        kept = api.refresh(api.box.refresh_token)
        api.clock.advance(180 * DAY_S + 1)

        assert kept.status_code == 200
        assert api.refresh(kept.json()["refresh_token"]).json() == DEAD_GRANT


def test_case_20_public_client_refreshes_with_its_client_id_alone(api: Api) -> None:
    answer = httpx.post(
        f"{api.box.auth_url}/token",
        data={
            "client_id": api.box.client_id,
            "grant_type": "refresh_token",
            "refresh_token": api.box.refresh_token,
        },
    )

    assert answer.status_code == 200


def test_case_21_second_token_request_within_a_second_is_429() -> None:
    with open_api(token_requests_per_second=1) as api:
        first = api.refresh(api.box.refresh_token)
        api.clock.advance(0.75)
        hasty = api.refresh(first.json()["refresh_token"])
        api.clock.advance(0.25)
        patient = api.refresh(first.json()["refresh_token"])

        assert [first.status_code, hasty.status_code, patient.status_code] == [200, 429, 200]


def test_case_22_wrong_secret_is_an_invalid_client(api: Api) -> None:
    answer = httpx.post(
        f"{api.box.auth_url}/token",
        data={"grant_type": "refresh_token", "refresh_token": api.box.refresh_token},
        auth=(api.box.client_id, "wrong"),
    )

    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"


def test_refresh_token_of_another_application_is_an_invalid_grant(api: Api) -> None:
    other = api.box.add_client()

    assert api.refresh(other.refresh_token).json() == DEAD_GRANT


def test_case_4_fields_in_the_query_string_are_accepted(api: Api) -> None:
    answer = httpx.post(
        f"{api.box.auth_url}/token",
        params={"grant_type": "refresh_token", "refresh_token": api.box.refresh_token},
        data={"redirect_uri": "https://example.com"},
        auth=(api.box.client_id, api.box.client_secret),
    )

    assert answer.status_code == 200


@pytest.mark.parametrize(("is_accepted", "status"), [(True, 200), (False, 400)])
def test_case_5_query_string_with_an_empty_body(*, is_accepted: bool, status: int) -> None:
    with open_api(token_query_without_body=is_accepted) as api:
        answer = httpx.post(
            f"{api.box.auth_url}/token",
            params={"grant_type": "refresh_token", "refresh_token": api.box.refresh_token},
            auth=(api.box.client_id, api.box.client_secret),
        )

        assert answer.status_code == status


def test_case_6_no_refresh_token_without_the_scope_offline_access(api: Api) -> None:
    narrow = api.refresh(api.box.refresh_token, scope="contact_data")

    assert narrow.status_code == 200
    assert "refresh_token" not in narrow.json()
    assert api.box.add_client(scopes={"contact_data"}).refresh_token == ""


def test_scope_that_was_not_granted_is_an_invalid_scope(api: Api) -> None:
    answer = api.refresh(api.box.refresh_token, scope="billing_data")

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")


def test_other_grants_are_unsupported(api: Api) -> None:
    answer = api.refresh(api.box.refresh_token, grant_type="client_credentials")

    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")


def test_refreshed_access_token_opens_the_api(api: Api) -> None:
    token = api.refresh(api.box.refresh_token).json()["access_token"]
    answer = api.get("/account/summary", headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == 200


def test_case_23_no_authorization_header_is_a_flat_403(api: Api) -> None:
    answer = httpx.get(f"{api.box.api_url}/contact_lists")

    assert answer.status_code == 403
    assert answer.json() == {"message": "Forbidden"}


@pytest.mark.parametrize("kind", ["expired", "garbage", "basic"])
def test_case_24_bad_token_is_a_401_object(api: Api, kind: str) -> None:
    headers = {
        "expired": f"Bearer {api.box.access_token(life_s=0)}",
        "garbage": "Bearer garbage",
        "basic": "Basic Z2FyYmFnZTpnYXJiYWdl",
    }
    answer = api.get("/contact_lists", headers={"Authorization": headers[kind]})

    assert answer.status_code == 401
    assert answer.json() == {"error_key": "unauthorized", "error_message": "Unauthorized"}


def test_case_24_token_expires_after_a_day(api: Api) -> None:
    api.clock.advance(DAY_S - 1)
    assert api.get("/contact_lists").status_code == 200
    api.clock.advance(1)
    assert api.get("/contact_lists").status_code == 401


def test_case_25_path_outside_v3_is_a_flat_403(api: Api) -> None:
    answer = api.get(api.box.api_url.removesuffix("/v3") + "/v2/lists")

    assert answer.status_code == 403
    assert answer.json() == {"message": "Forbidden"}


def test_case_26_token_without_the_scope_is_403(api: Api) -> None:
    token = api.box.access_token(scopes={"account_read"})
    headers = {"Authorization": f"Bearer {token}"}

    refused = api.get("/contact_lists", headers=headers)
    assert refused.status_code == 403
    assert refused.json()["error_key"] == "access_denied"
    assert api.get("/account/summary", headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/activities", "/contact_lists", "/contacts"])
def test_case_27_campaign_creator_lacks_the_privilege(api: Api, path: str) -> None:
    token = api.box.access_token(privileges=CAMPAIGN_CREATOR)
    answer = api.get(path, headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == 403
    assert answer.json() == {
        "error_key": "access_denied",
        "error_message": "Request forbidden due to insufficient user privileges.",
    }


def test_deactivated_application_is_403(api: Api) -> None:
    api.box.deactivate_client(api.box.client_id)

    refused = api.get("/account/user/privileges")
    assert refused.status_code == 403
    assert refused.json()["error_key"] == "access_denied"
    assert api.refresh(api.box.refresh_token).status_code == 401


def test_case_92_account_summary_tells_the_account(api: Api) -> None:
    content = api.get("/account/summary").json()

    assert content["encoded_account_id"] == "p07e1l8cdif9dl"
    assert content["organization_name"] == "Sandbox Outfitters"
    assert "physical_address" not in content
    extra = api.get("/account/summary", params={"extra_fields": "physical_address"}).json()
    assert extra["physical_address"]["city"] == "Boston"


def test_case_93_privileges_are_an_array_of_pairs(api: Api) -> None:
    token = api.box.access_token(scopes=(), privileges=CAMPAIGN_CREATOR)
    content = api.get(
        "/account/user/privileges", headers={"Authorization": f"Bearer {token}"}
    ).json()

    assert {"privilege_id": 30, "privilege_name": "campaign:create"} in content
    assert {one["privilege_name"] for one in content} == CAMPAIGN_CREATOR
