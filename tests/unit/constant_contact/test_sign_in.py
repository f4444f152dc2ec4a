"""Signing in by browser and by device: what is asked, what is believed, and what is said."""

import base64
import hashlib
import pickle
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr

from constant_contact import (
    AUTH_URL,
    BrowserSignIn,
    ConstantContactError,
    Credentials,
    DeviceSignIn,
    InsecureAddress,
    MalformedAnswer,
    NotAuthorised,
    Pacer,
    ServerFault,
    SignInAbandoned,
    SignInRefused,
    SignInService,
    begin_browser_sign_in,
    read_redirect,
)

pytestmark = pytest.mark.anyio

REDIRECT = "http://127.0.0.1:8976/signed-in"
TOKEN = "POST /oauth2/default/v1/token"
DEVICE = "POST /oauth2/default/v1/device/authorize"
TOKENS = {
    "access_token": "access-1",
    "refresh_token": "refresh-1",
    "expires_in": 86400,
    "scope": "contact_data offline_access",
}
CODES = {
    "device_code": "device-secret",
    "user_code": "ABCD-EFGH",
    "verification_uri": "https://example.com/activate",
    "verification_uri_complete": "https://example.com/activate?user_code=ABCD-EFGH",
    "expires_in": 60,
    "interval": 5,
}
PENDING = {"error": "authorization_pending"}


@pytest.fixture
def begun() -> BrowserSignIn:
    return begin_browser_sign_in(Credentials.of("key", "hush"), REDIRECT)


def service(stage: Any, **overrides: Any) -> SignInService:
    given: dict[str, Any] = {
        "credentials": stage.credentials,
        "limiter": Pacer(interval_s=1.1, clock=stage.time.clock, sleep=stage.time.sleep),
        "transport": httpx.MockTransport(stage.script),
        "on_event": stage.events.append,
        "clock": stage.time.clock,
        "sleep": stage.time.sleep,
    }
    return SignInService(**given | overrides)


def forms(stage: Any) -> Iterator[dict[str, str]]:
    for request in stage.script.requests:
        yield {name: v[0] for name, v in parse_qs(request.content.decode()).items()}


def come_back(begun: BrowserSignIn, **fields: str) -> str:
    told = {"state": begun.state.get_secret_value()} | fields
    return str(httpx.QueryParams({k: v for k, v in told.items() if v}))


def test_the_address_of_the_consent_page_asks_for_what_an_export_needs(
    begun: BrowserSignIn,
) -> None:
    assert begun.url.startswith(f"{AUTH_URL}/authorize?")
    fields = {name: v[0] for name, v in parse_qs(urlsplit(begun.url).query).items()}
    digest = hashlib.sha256(begun.verifier.get_secret_value().encode()).digest()
    assert fields == {
        "response_type": "code",
        "client_id": "key",
        "redirect_uri": REDIRECT,
        "scope": "account_read contact_data offline_access",
        "state": begun.state.get_secret_value(),
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    assert 43 <= len(begun.verifier.get_secret_value()) <= 128


def test_every_sign_in_has_a_state_and_a_verifier_of_its_own(begun: BrowserSignIn) -> None:
    other = begin_browser_sign_in(Credentials.of("key", "hush"), REDIRECT)
    assert begun.state != other.state
    assert begun.verifier != other.verifier


def test_the_secret_is_not_in_the_address_and_nothing_secret_is_shown(
    begun: BrowserSignIn,
) -> None:
    assert "hush" not in begun.url
    assert begun.verifier.get_secret_value() not in begun.url
    assert begun.state.get_secret_value() not in repr(begun)
    with pytest.raises(TypeError):
        pickle.dumps(begun)


@pytest.mark.parametrize(
    ("redirect", "auth_url"),
    [
        ("http://example.com/back", AUTH_URL),
        ("https://user@example.com/back", AUTH_URL),
        ("https://example.com/back#here", AUTH_URL),
        ("file:///etc/passwd", AUTH_URL),
        ("nonsense", AUTH_URL),
        ("https://x:port/", AUTH_URL),
        ("https://xn--a.com/back", AUTH_URL),
        (REDIRECT, "http://example.com/v1"),
    ],
)
def test_an_address_that_is_not_safe_is_refused(redirect: str, auth_url: str) -> None:
    with pytest.raises(InsecureAddress):
        begin_browser_sign_in(Credentials.of("key"), redirect, auth_url=auth_url)


def test_the_code_is_read_from_what_the_browser_comes_back_with(begun: BrowserSignIn) -> None:
    assert read_redirect(begun, come_back(begun, code="c+/1")).get_secret_value() == "c+/1"


@pytest.mark.parametrize("state", ["", "another", "ä"])
def test_a_state_that_differs_is_refused_whatever_comes_with_it(
    begun: BrowserSignIn, state: str
) -> None:
    for more in ({"code": "c1"}, {"error": "access_denied"}):
        with pytest.raises(SignInRefused, match="not begun here"):
            read_redirect(begun, come_back(begun, state=state, **more))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"error": "access_denied", "error_description": "ann@example.com"}, "denied"),
        ({"error": "unauthorized_client"}, "does not let this application"),
        ({"error": "invalid_scope"}, "scope"),
        ({"error": "server_error"}, "problem of its own"),
        ({"error": "strange_new_error"}, r"\(strange_new_error\)"),
        ({"error": "ann@example.com"}, "no reason given"),
        ({}, "without a code"),
    ],
)
def test_a_refusal_is_one_sentence_without_the_service_s_words(
    begun: BrowserSignIn, fields: dict[str, str], words: str
) -> None:
    with pytest.raises(SignInRefused, match=words) as caught:
        read_redirect(begun, come_back(begun, **fields))
    assert "@" not in str(caught.value)


async def test_a_code_is_exchanged_for_tokens(stage: Any, answer: Any, begun: Any) -> None:
    stage.script.on(TOKEN, answer(200, TOKENS))
    async with service(stage) as signing_in:
        granted = await signing_in.exchange_code(begun, SecretStr("c1"))
    assert granted.tokens.access_token.get_secret_value() == "access-1"
    assert granted.tokens.refresh_token.get_secret_value() == "refresh-1"
    assert granted.tokens.expires_at == pytest.approx(stage.time.now + 86400 - 300, abs=1)
    assert granted.scopes == {"contact_data", "offline_access"}
    assert list(forms(stage)) == [
        {
            "grant_type": "authorization_code",
            "code": "c1",
            "redirect_uri": REDIRECT,
            "code_verifier": begun.verifier.get_secret_value(),
        }
    ]
    basic = base64.b64encode(b"key:hush").decode()
    assert stage.script.requests[0].headers["Authorization"] == f"Basic {basic}"
    assert not stage.script.requests[0].url.query
    assert "access-1" not in repr(granted)


async def test_a_public_client_exchanges_with_its_id_alone(
    stage: Any, answer: Any, begun: Any
) -> None:
    stage.credentials = Credentials.of("key")
    stage.script.on(TOKEN, answer(200, TOKENS | {"scope": ""}))
    async with service(stage) as signing_in:
        granted = await signing_in.exchange_code(begun, SecretStr("c1"))
    assert next(forms(stage))["client_id"] == "key"
    assert "Authorization" not in stage.script.requests[0].headers
    assert granted.scopes is None


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (400, {"error": "invalid_grant"}, SignInRefused, "expired or was used already"),
        (401, {"error": "invalid_client"}, NotAuthorised, "API key or its secret"),
        (400, {"error": "unauthorized_client"}, NotAuthorised, "API key or its secret"),
        (400, {"error": "invalid_request"}, SignInRefused, "invalid_request"),
        (404, "", SignInRefused, "no reason given"),
    ],
)
async def test_a_refused_exchange_says_why_and_is_not_repeated(
    stage: Any, answer: Any, begun: Any, status: int, body: Any, kind: Any, words: str
) -> None:
    stage.script.on(TOKEN, answer(status, body))
    async with service(stage) as signing_in:
        with pytest.raises(kind, match=words) as caught:
            await signing_in.exchange_code(begun, SecretStr("c1-secret"))
    assert len(stage.script.requests) == 1
    assert "c1-secret" not in f"{caught.value!r} {caught.value.__cause__!r}"


async def test_an_exchange_is_repeated_when_the_service_stumbles(
    stage: Any, answer: Any, fail: Any, begun: Any
) -> None:
    stage.script.on(
        TOKEN, answer(429, ""), answer(503, ""), fail(httpx.ConnectError), answer(200, TOKENS)
    )
    async with service(stage) as signing_in:
        await signing_in.exchange_code(begun, SecretStr("c1"))
    assert len(stage.script.requests) == 4
    assert min(stage.time.slept) > 0


async def test_a_lost_answer_to_an_exchange_is_named(
    stage: Any, answer: Any, fail: Any, begun: Any
) -> None:
    stage.script.on(TOKEN, fail(httpx.ReadTimeout), answer(400, {"error": "invalid_grant"}))
    async with service(stage) as signing_in:
        with pytest.raises(SignInRefused, match="was lost"):
            await signing_in.exchange_code(begun, SecretStr("c1"))


async def test_an_exchange_gives_up_on_a_service_that_stays_broken(
    stage: Any, answer: Any, begun: Any
) -> None:
    stage.script.on(TOKEN, answer(503, ""))
    async with service(stage) as signing_in:
        with pytest.raises(ServerFault):
            await signing_in.exchange_code(begun, SecretStr("c1"))
    assert len(stage.script.requests) == 4


async def begin(stage: Any, answer: Any, **changes: Any) -> DeviceSignIn:
    stage.script.on(DEVICE, answer(200, CODES | changes))
    async with service(stage) as signing_in:
        return await signing_in.start_device()


async def test_a_device_asks_for_its_codes(stage: Any, answer: Any) -> None:
    device = await begin(stage, answer)
    assert (device.url, device.user_code) == (CODES["verification_uri"], "ABCD-EFGH")
    assert device.complete_url == CODES["verification_uri_complete"]
    assert (device.interval_s, device.expires_at) == (5, stage.time.now + 60)
    assert list(forms(stage)) == [
        {"client_id": "key", "scope": "account_read contact_data offline_access"}
    ]
    assert "Authorization" not in stage.script.requests[0].headers
    assert "ABCD" not in repr(device)
    assert "device-secret" not in repr(device)


async def test_a_device_does_with_what_it_is_told(stage: Any, answer: Any) -> None:
    sparse = {"interval": None, "expires_in": None, "verification_uri_complete": None}
    device = await begin(stage, answer, **sparse)
    assert (device.interval_s, device.expires_at) == (5, stage.time.now + 600)
    assert device.complete_url == device.url


@pytest.mark.parametrize(
    "changes",
    [
        {"user_code": None},
        {"device_code": ""},
        {"verification_uri": None},
        {"user_code": "\x1b[2J"},
        {"verification_uri": "javascript:alert(1)"},
        {"verification_uri": "https://xn--a.com/activate"},
        {"verification_uri_complete": "http://example.com/?user_code=A"},
    ],
)
async def test_a_device_shows_nothing_that_is_not_safe(
    stage: Any, answer: Any, changes: dict[str, Any]
) -> None:
    with pytest.raises(MalformedAnswer):
        await begin(stage, answer, **changes)


async def test_an_application_not_made_for_devices_is_refused(stage: Any, answer: Any) -> None:
    stage.script.on(DEVICE, answer(400, {"error": "invalid_scope"}))
    async with service(stage) as signing_in:
        with pytest.raises(SignInRefused, match="scope"):
            await signing_in.start_device()


async def wait(stage: Any, answer: Any, *answers: Any, **changes: Any) -> Any:
    device = await begin(stage, answer)
    stage.script.on(TOKEN, *answers)
    stage.time.slept.clear()
    async with service(stage) as signing_in:
        return await signing_in.wait_for_device(device, **changes)


async def test_a_device_asks_at_its_interval_until_it_is_allowed(stage: Any, answer: Any) -> None:
    pending = answer(400, PENDING)
    granted = await wait(stage, answer, pending, pending, answer(200, TOKENS))
    assert granted.tokens.refresh_token.get_secret_value() == "refresh-1"
    assert stage.time.slept == [5, 5, 5]
    assert (
        list(forms(stage))[1:]
        == [
            {
                "client_id": "key",
                "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
                "device_code": "device-secret",
            }
        ]
        * 3
    )
    assert not any("Authorization" in request.headers for request in stage.script.requests)


async def test_a_device_slows_down_when_told_and_when_the_service_stumbles(
    stage: Any, answer: Any, fail: Any
) -> None:
    slow_down = answer(400, {"error": "slow_down"})
    await wait(
        stage, answer, slow_down, answer(400, PENDING), answer(429, ""), fail(httpx.ReadTimeout),
        answer(200, TOKENS),
    )  # fmt: skip
    assert stage.time.slept == [5, 10, 10, 15, 20]


@pytest.mark.parametrize(
    ("status", "error", "kind", "words"),
    [
        (400, "expired_token", SignInAbandoned, "Nobody finished"),
        (400, "invalid_grant", SignInAbandoned, "Nobody finished"),
        (400, "access_denied", SignInRefused, "denied"),
        (403, "access_denied", SignInRefused, "denied"),
        (401, "invalid_client", NotAuthorised, "API key"),
        (400, "unsupported_grant_type", SignInRefused, "unsupported_grant_type"),
    ],
)
async def test_a_device_that_is_refused_says_why(
    stage: Any, answer: Any, status: int, error: str, kind: type[ConstantContactError], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught:
        await wait(stage, answer, answer(400, PENDING), answer(status, {"error": error}))
    assert type(caught.value) is kind
    assert "device-secret" not in repr(caught.value)


@pytest.mark.parametrize("is_throttled_after", [False, True])
async def test_a_device_names_a_lost_answer(
    stage: Any, answer: Any, fail: Any, is_throttled_after: bool
) -> None:
    spent = answer(400, {"error": "invalid_grant"})
    between = [answer(429, "")] * is_throttled_after
    with pytest.raises(SignInRefused, match="was lost"):
        await wait(stage, answer, fail(httpx.ReadTimeout), *between, spent)


async def test_a_device_waits_no_longer_than_its_code_lives(stage: Any, answer: Any) -> None:
    with pytest.raises(SignInAbandoned):
        await wait(stage, answer, answer(400, PENDING))
    assert sum(stage.time.slept) == 60


async def test_a_device_waits_no_longer_than_it_is_told(stage: Any, answer: Any) -> None:
    with pytest.raises(SignInAbandoned):
        await wait(stage, answer, answer(400, PENDING), give_up_at=stage.time.now + 20)
    assert stage.time.slept == [5] * 4
