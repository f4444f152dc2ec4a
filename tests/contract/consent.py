"""A person in front of the sandbox's pages, and an application that asks them."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.contract.sandbox_api import Api

REDIRECT = "http://127.0.0.1:8976/signed-in"
SCOPE = "account_read contact_data offline_access"


def ask(api: Api, **changes: str) -> httpx.Response:
    """Ask for the consent page, as a browser does; an empty change leaves the field out."""
    fields = {
        "response_type": "code",
        "client_id": api.box.client_id,
        "redirect_uri": REDIRECT,
        "scope": SCOPE,
        "state": "s t&te",
    } | changes
    given = {name: value for name, value in fields.items() if value}
    return httpx.get(f"{api.box.auth_url}/authorize", params=given)


def decide(asked: httpx.Response, decision: str = "allow", **fields: str) -> httpx.Response:
    """Press a button of the page."""
    assert asked.status_code == 200
    action = re.search(r'action="([^"]+)"', asked.text)
    ticket = re.search(r'name="ticket" value="([^"]+)"', asked.text)
    assert action is not None
    assert ticket is not None
    return httpx.post(
        asked.url.join(action[1]), data={"ticket": ticket[1], "decision": decision} | fields
    )


def returned(answer: httpx.Response) -> dict[str, str]:
    """Return what the browser is sent back with."""
    assert answer.status_code == 302
    assert answer.headers["location"].startswith(f"{REDIRECT}?")
    return {k: v[0] for k, v in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def get_code(api: Api, **changes: str) -> str:
    return returned(decide(ask(api, **changes)))["code"]


def redeem(api: Api, code: str, *, auth: Any = True, **fields: str) -> httpx.Response:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT} | fields
    basic = (api.box.client_id, api.box.client_secret)
    return httpx.post(
        f"{api.box.auth_url}/token", data=form, auth=basic if auth is True else (auth or None)
    )


def said(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]
