"""The token endpoint of the authorisation server: codes, device codes and refresh tokens."""

import base64
import binascii
from typing import Any
from urllib.parse import parse_qsl

from sandbox._errors import oauth_error
from sandbox._grants import GrantBook
from sandbox._http import Answer, Call
from sandbox._tokens import Client, InvalidGrantError, InvalidScopeError, Issued, TokenDesk

TOKEN_PATH = "/oauth2/default/v1/token"  # noqa: S105 - a path, not a password
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
FORM = "application/x-www-form-urlencoded"


def presented_client_id(call: Call) -> str:
    """Return the client id that a token request claims, proven or not."""
    basic = _basic(call)
    return basic[0] if basic else read_fields(call).get("client_id", "")


def issue_tokens(desk: TokenDesk, grants: GrantBook, call: Call) -> Answer:
    """Answer a token request (cases 3 to 22); fields come from form body and query string.

    A confidential application identifies itself with Basic, a public one with `client_id` alone
    (case 20). A secret in the body is documented nowhere and refused.
    """
    fields = read_fields(call)
    if not call.body and not desk.settings.token_query_without_body:
        raise oauth_error(400, "invalid_request", "The request has no body.")
    if call.body and not call.headers.get("content-type", "").lower().startswith(FORM):
        raise oauth_error(400, "invalid_request", f"Content-Type must be {FORM}.")
    client = _identify(desk, call, fields)
    grant_type = fields.get("grant_type")
    if grant_type == "refresh_token":
        issued = _refresh(desk, client, fields)
    elif grant_type == "authorization_code":
        issued = grants.redeem_code(
            client,
            fields.get("code", ""),
            fields.get("redirect_uri", ""),
            fields.get("code_verifier", ""),
            has_secret="authorization" in call.headers,
        )
    elif grant_type == DEVICE_GRANT:
        issued = grants.redeem_device_code(client, fields.get("device_code", ""))
    else:
        raise oauth_error(
            400, "unsupported_grant_type", "The grant type is not supported by the sandbox."
        )
    content: dict[str, Any] = {
        "token_type": "Bearer",
        "expires_in": issued.expires_in_s,
        "access_token": issued.access_token,
        "scope": " ".join(sorted(issued.scopes)),
    }
    if issued.refresh_token:
        content["refresh_token"] = issued.refresh_token
    return Answer(200, content, headers={"Cache-Control": "no-store"})


def _refresh(desk: TokenDesk, client: Client, fields: dict[str, str]) -> Issued:
    try:
        return desk.refresh(
            client, fields.get("refresh_token", ""), fields.get("scope", "").split()
        )
    except InvalidGrantError:
        raise oauth_error(
            400, "invalid_grant", "The refresh token is invalid or expired."
        ) from None
    except InvalidScopeError:
        raise oauth_error(400, "invalid_scope", "A requested scope was not granted.") from None


def _identify(desk: TokenDesk, call: Call, fields: dict[str, str]) -> Client:
    """Return the application that a request proves to come from (case 22)."""
    basic = _basic(call)
    client = desk.clients.get(presented_client_id(call))
    is_proven = basic is None and "authorization" not in call.headers
    if basic is not None and client is not None:
        is_proven = not client.is_public and basic[1] == client.client_secret
    if client is None or not is_proven or "client_secret" in fields or not client.is_active:
        raise oauth_error(401, "invalid_client", "The client is unknown or its secret is wrong.")
    return client


def _basic(call: Call) -> tuple[str, str] | None:
    """Return user and password of a Basic header."""
    scheme, _, encoded = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return user, password


def read_fields(call: Call) -> dict[str, str]:
    """Return the fields of query string and form body (cases 3 to 5)."""
    return dict(parse_qsl(call.query)) | dict(parse_qsl(call.body.decode("latin-1")))
