"""Cases 1 to 4, 6 to 10: how a person allows an application access in the browser."""

import base64
import hashlib
from collections.abc import Iterator

import httpx
import pytest

from tests.contract.consent import REDIRECT, SCOPE, ask, decide, get_code, redeem, returned, said
from tests.contract.sandbox_api import Api, open_api

VERIFIER = "v" * 43
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
)
PKCE = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}


@pytest.fixture
def api() -> Iterator[Api]:
    with open_api() as api:
        yield api


def test_case_1_consent_page_names_application_account_and_scopes(api: Api) -> None:
    page = ask(api)

    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    for word in ("Segment export", "Sandbox Outfitters", *SCOPE.split(), "Allow", "Deny"):
        assert word in page.text


def test_case_1_consent_sends_code_and_state_back(api: Api) -> None:
    told = returned(decide(ask(api)))

    assert set(told) == {"code", "state"}
    assert told["state"] == "s t&te"


def test_case_2_refused_consent_sends_error_and_state_back(api: Api) -> None:
    told = returned(decide(ask(api), "deny"))

    assert set(told) == {"error", "error_description", "state"}
    assert (told["error"], told["state"]) == ("access_denied", "s t&te")


def test_consent_page_works_once(api: Api) -> None:
    page = ask(api)
    decide(page, "deny")

    assert decide(page).status_code == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "nobody"},
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": f"{REDIRECT}/"},
        {"redirect_uri": ""},
    ],
    ids=["unknown client", "elsewhere", "almost", "none"],
)
def test_nobody_is_sent_to_an_address_that_is_not_registered(
    api: Api, changes: dict[str, str]
) -> None:
    page = ask(api, **changes)

    assert page.status_code == 400
    assert "location" not in page.headers


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "everything"}, "invalid_scope"),
        ({"scope": ""}, "invalid_scope"),
        (PKCE | {"code_challenge_method": "plain"}, "invalid_request"),
        (PKCE | {"code_challenge": "short"}, "invalid_request"),
    ],
)
def test_senseless_request_is_sent_back_with_its_error(
    api: Api, changes: dict[str, str], error: str
) -> None:
    told = returned(ask(api, **changes))

    assert (told["error"], told["state"]) == (error, "s t&te")


def test_deactivated_application_is_sent_back(api: Api) -> None:
    api.box.deactivate_client(api.box.client_id)

    assert returned(ask(api))["error"] == "unauthorized_client"


def test_case_3_code_is_exchanged_for_tokens(api: Api) -> None:
    answer = redeem(api, get_code(api))

    assert answer.status_code == 200
    tokens = answer.json()
    assert set(tokens) == {"access_token", "refresh_token", "expires_in", "token_type", "scope"}
    assert (tokens["expires_in"], tokens["token_type"]) == (86_400, "Bearer")
    assert tokens["scope"] == SCOPE
    assert api.refresh(tokens["refresh_token"]).status_code == 200
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert api.get("/account/summary", headers=headers).status_code == 200


def test_case_4_code_in_the_query_string_is_exchanged(api: Api) -> None:
    fields = {"grant_type": "authorization_code", "code": get_code(api), "redirect_uri": REDIRECT}
    answer = httpx.post(
        f"{api.box.auth_url}/token",
        params=fields,
        data={"redirect_uri": REDIRECT},
        auth=(api.box.client_id, api.box.client_secret),
    )

    assert answer.status_code == 200


def test_case_6_no_refresh_token_for_a_sign_in_without_offline_access(api: Api) -> None:
    answer = redeem(api, get_code(api, scope="contact_data"))

    assert answer.status_code == 200
    assert "refresh_token" not in answer.json()
    assert answer.json()["scope"] == "contact_data"


def test_case_7_code_works_once(api: Api) -> None:
    code = get_code(api)

    assert redeem(api, code).status_code == 200
    assert said(redeem(api, code)) == (400, "invalid_grant")


@pytest.mark.parametrize(("age_s", "is_good"), [(299, True), (300, False)])
def test_case_8_code_lives_five_minutes(api: Api, age_s: int, *, is_good: bool) -> None:
    code = get_code(api)
    api.clock.advance(age_s)

    assert redeem(api, code).is_success is is_good


def test_case_9_public_application_exchanges_with_its_verifier(api: Api) -> None:
    public = api.box.add_client(is_public=True)
    code = get_code(api, client_id=public.client_id, **PKCE)
    fields = {"client_id": public.client_id, "code_verifier": VERIFIER}
    answer = redeem(api, code, auth=None, **fields)

    assert answer.status_code == 200
    assert answer.json()["refresh_token"]


def test_confidential_application_may_add_pkce(api: Api) -> None:
    assert redeem(api, get_code(api, **PKCE), code_verifier=VERIFIER).status_code == 200


@pytest.mark.parametrize("verifier", ["w" * 43, ""], ids=["wrong", "none"])
def test_case_10_code_without_its_verifier_is_an_invalid_grant(api: Api, verifier: str) -> None:
    answer = redeem(api, get_code(api, **PKCE), code_verifier=verifier)

    assert said(answer) == (400, "invalid_grant")


def test_public_application_needs_pkce_and_has_no_secret(api: Api) -> None:
    public = api.box.add_client(is_public=True)

    assert public.client_secret == ""
    assert returned(ask(api, client_id=public.client_id))["error"] == "invalid_request"
    code = get_code(api, client_id=public.client_id, **PKCE)
    basic = redeem(api, code, auth=(public.client_id, ""), code_verifier=VERIFIER)
    assert said(basic) == (401, "invalid_client")


@pytest.mark.parametrize(
    "redeeming",
    ["without secret and verifier", "another redirect_uri", "another application"],
)
def test_code_is_good_only_for_who_asked_for_it(api: Api, redeeming: str) -> None:
    code = get_code(api)
    other = api.box.add_client()
    answers = {
        "without secret and verifier": {"auth": None, "client_id": api.box.client_id},
        "another redirect_uri": {"redirect_uri": "http://127.0.0.1:1/signed-in"},
        "another application": {"auth": (other.client_id, other.client_secret)},
    }

    assert said(redeem(api, code, **answers[redeeming])) == (400, "invalid_grant")


def test_application_gets_no_more_scopes_than_it_may_have(api: Api) -> None:
    app = api.box.add_client(scopes={"contact_data"})
    code = get_code(api, client_id=app.client_id)
    answer = redeem(api, code, auth=(app.client_id, app.client_secret))

    assert answer.json()["scope"] == "contact_data"


def test_case_27_campaign_creator_can_sign_in_and_not_import(api: Api) -> None:
    code = returned(decide(ask(api), user="creator"))["code"]
    headers = {"Authorization": f"Bearer {redeem(api, code).json()['access_token']}"}

    assert api.get("/activities", headers=headers).status_code == 403
    assert api.get("/account/summary", headers=headers).status_code == 200


def test_case_18_sign_in_of_a_long_lived_application_keeps_its_refresh_token() -> None:
    with open_api(rotating_refresh_tokens=False) as api:
        first = redeem(api, get_code(api)).json()["refresh_token"]

        assert [api.refresh(first).json()["refresh_token"] for _ in range(2)] == [first, first]


def test_case_21_exchange_and_refresh_share_one_request_a_second() -> None:
    with open_api(token_requests_per_second=1) as api:
        code = get_code(api)

        assert redeem(api, "hasty").status_code == 400
        assert redeem(api, code).status_code == 429
        api.clock.advance(1)
        assert redeem(api, code).status_code == 200


def test_revoked_sign_in_opens_nothing_any_more(api: Api) -> None:
    tokens = redeem(api, get_code(api)).json()
    api.box.revoke(api.box.client_id)

    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert api.get("/account/summary", headers=headers).status_code == 401
    assert said(api.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
    assert redeem(api, get_code(api)).status_code == 200


def test_back_door_adds_public_clients_and_revokes(api: Api) -> None:
    told = api.http.post(
        f"{api.box.admin_url}/clients",
        json={"is_public": True, "redirect_uris": ["http://127.0.0.1:9/x"]},
    ).json()

    assert told["client_secret"] == ""
    assert ask(api, client_id=told["client_id"]).status_code == 400
    for client_id, status in ((told["client_id"], 200), ("nobody", 400)):
        answer = api.http.post(f"{api.box.admin_url}/revocations", json={"client_id": client_id})
        assert answer.status_code == status


def test_sign_in_service_refuses_other_methods(api: Api) -> None:
    assert httpx.get(f"{api.box.auth_url}/device/authorize").status_code == 405
    assert httpx.get(f"{api.box.auth_url}/token").status_code == 405


def test_sign_in_is_logged_without_codes(api: Api) -> None:
    code = get_code(api)
    redeem(api, code)
    records = api.box.state.requests()

    assert [one.operation for one in records] == ["authorize", "authorize", "token"]
    assert code not in repr(records)
