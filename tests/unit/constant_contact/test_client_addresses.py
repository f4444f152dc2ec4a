"""Addresses that tokens travel to, and links that they do not follow."""

from typing import Any

import httpx
import pytest

from constant_contact import InsecureAddress, MalformedAnswer
from constant_contact._addresses import parse_base_url, resolve_next

pytestmark = pytest.mark.anyio

LISTS = "GET /v3/contact_lists"

HOSTILE_HREFS = [
    "https://evil.example/v3/contact_lists",
    "https://api.cc.email.evil.example/v3/x",
    "http://api.cc.email/v3/x",
    "//evil.example/v3/x",
    "/v4/contact_lists",
    "/v3",
    "/v3evil/x",
    "v3/contact_lists",
    "@evil.example/v3/x",
    "/v3/../admin",
    "/v3/%2e%2E/admin",
    "/v3/..%2fadmin",
    "/v3\\..\\admin",
    "/v3/\\evil",
    "/v3/a b",
    "/v3/x\r\nHost: evil",
    "javascript:alert(1)",
]


@pytest.mark.parametrize("href", HOSTILE_HREFS)
async def test_a_token_never_follows_a_link_out_of_the_api(
    stage: Any, answer: Any, href: str
) -> None:
    stage.script.on(LISTS, answer(200, {"lists": [], "_links": {"next": {"href": href}}}))
    async with stage.client() as client:
        with pytest.raises(MalformedAnswer):
            await client.get_lists()
    assert len(stage.script.requests) == 1


def test_a_link_with_the_apis_own_origin_is_followed() -> None:
    base = parse_base_url("http://127.0.0.1:8123/v3/")
    url = resolve_next(base, "http://127.0.0.1:8123/v3/activities?cursor=a%2Bb")
    assert str(url) == "http://127.0.0.1:8123/v3/activities?cursor=a%2Bb"


@pytest.mark.parametrize(
    "address",
    [
        "http://api.cc.email/v3",
        "http://127.0.0.1.example.com/v3",
        "http://localhost.example.com/v3",
        "http://10.0.0.1/v3",
        "ftp://127.0.0.1/v3",
        "https://user:word@api.cc.email/v3",
        "https://api.cc.email/v3?x=1",
        "api.cc.email/v3",
        "",
    ],
)
def test_tokens_do_not_travel_in_clear(stage: Any, address: str) -> None:
    for name in ("api_url", "auth_url"):
        with pytest.raises(InsecureAddress):
            stage.client(**{name: address})


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("http://127.0.0.1:99999/v3", "names port 99999; a port is a number from 1 to 65535"),
        ("http://127.0.0.1:0/v3", "names port 0"),
        ("http://localhost:-1/v3", "names port -1"),
        ("https://xn--a.com/v3", "cannot be read"),
        ("https://app\uff0fx/v3", "cannot be read"),
        ("http://[::1/v3", "cannot be read"),
    ],
)
def test_an_address_that_leads_nowhere_is_refused_by_its_name(
    stage: Any, address: str, says: str
) -> None:
    for setting, name in (("api_url", "API address"), ("auth_url", "sign-in address")):
        with pytest.raises(InsecureAddress, match=f"^The {name} {says}"):
            stage.client(**{setting: address})


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("https://api.cc.email/v3/?", b"/v3"),
        ("https://api.cc.email/v3#", b"/v3"),
        ("https://api.cc.email", b""),
        ("https://api.cc.email/d\u00e9p\u00f4t a/v3", b"/d%C3%A9p%C3%B4t%20a/v3"),
    ],
)
async def test_requests_go_below_the_address_whatever_its_letters(
    stage: Any, address: str, path: bytes
) -> None:
    def show(request: httpx.Request) -> httpx.Response:
        assert request.url.raw_path == path + b"/account/user/privileges"
        return httpx.Response(200, json=[])

    transport = httpx.MockTransport(show)
    async with stage.client(transport=transport, api_url=address) as client:
        assert await client.get_privileges() == frozenset()


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:9/v3", "http://localhost/v3", "http://[::1]:9/v3", "https://a.example"],
)
def test_this_machine_and_https_are_fine(address: str) -> None:
    assert parse_base_url(address).host
