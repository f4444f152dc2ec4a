"""What the tests of renewing a sign-in share."""

import httpx

from constant_contact import Tokens

ACCOUNT = "GET /v3/account/summary"
KNOWN = {"encoded_account_id": "a0"}
TOKEN = "POST /oauth2/default/v1/token"
NEW = {"access_token": "access-1", "refresh_token": "refresh-1", "expires_in": 86400}
OLD = "refresh-0"
INVALID_GRANT = {"error": "invalid_grant", "error_description": "ann@example.com"}


def expired(refresh_token: str = OLD) -> Tokens:
    return Tokens.of(access_token="access-0", refresh_token=refresh_token, expires_at=0)


def bearer(request: httpx.Request) -> str:
    return request.headers["Authorization"].removeprefix("Bearer ")
