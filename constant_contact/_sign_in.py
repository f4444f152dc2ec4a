"""Signing in by browser: the address to send a person to, and what comes back with them."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from pydantic import SecretStr

from constant_contact._addresses import AUTH_URL, is_loopback, parse_base_url, read_url
from constant_contact._credentials import Credentials, Tokens, Unpicklable
from constant_contact._errors import InsecureAddress, SignInRefused

# What an export needs: the account's name, contacts and lists, and a refresh token.
SCOPES = ("account_read", "contact_data", "offline_access")

_REFUSALS = {
    "access_denied": "Access was denied on Constant Contact's page; sign in again and allow it.",
    "unauthorized_client": (
        "Constant Contact does not let this application sign anybody in; check in the developer "
        "portal that it is active and made for this kind of sign-in."
    ),
    "invalid_scope": (
        "Constant Contact does not know a scope that was asked for; check the application's "
        "settings in the developer portal."
    ),
    "temporarily_unavailable": "Constant Contact's sign-in service is busy; try again later.",
    "server_error": "Constant Contact's sign-in service has a problem of its own; try again later.",
}


@dataclass(frozen=True, slots=True)
class BrowserSignIn(Unpicklable):
    """A sign-in that has begun: where to send the person, and how to know them again."""

    url: str = field(repr=False)
    redirect_url: str
    state: SecretStr
    verifier: SecretStr


@dataclass(frozen=True, slots=True)
class Granted(Unpicklable):
    """What a sign-in gave: tokens, and the scopes they are for; None where it is not said."""

    tokens: Tokens
    scopes: frozenset[str] | None


def begin_browser_sign_in(
    credentials: Credentials,
    redirect_url: str,
    *,
    auth_url: str = AUTH_URL,
    scopes: Collection[str] = SCOPES,
) -> BrowserSignIn:
    """Make the address of the consent page; with PKCE, whether there is a secret or not.

    Raises:
        InsecureAddress: codes or tokens would travel in clear.
    """
    base = parse_base_url(auth_url, name="sign-in address")
    check_page_address(redirect_url)
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(64)
    url = base.copy_with(path=f"{base.path.rstrip('/')}/authorize").copy_merge_params(
        {
            "response_type": "code",
            "client_id": credentials.client_id,
            "redirect_uri": redirect_url,
            "scope": " ".join(scopes),
            "state": state,
            "code_challenge": _challenge(verifier),
            "code_challenge_method": "S256",
        }
    )
    return BrowserSignIn(str(url), redirect_url, SecretStr(state), SecretStr(verifier))


def read_redirect(begun: BrowserSignIn, query: str) -> SecretStr:
    """Return the code that a person's browser came back with.

    Raises:
        SignInRefused: it belongs to another sign-in, or there is an error in place of a code.
    """
    fields = {name: values[0] for name, values in parse_qs(query).items()}
    state = fields.get("state", "")
    if not hmac.compare_digest(state.encode(), begun.state.get_secret_value().encode()):
        raise SignInRefused(
            "The browser came back from a sign-in that was not begun here (its state differs); "
            "run the command again, and use the address that it shows."
        )
    if "error" in fields:
        raise refusal(fields["error"])
    code = fields.get("code", "")
    if not code:
        raise SignInRefused("The browser came back without a code; run the command again.")
    return SecretStr(code)


def refusal(key: str | None) -> SignInRefused:
    """Say what an error of the sign-in service means; its own words are not repeated."""
    if key in _REFUSALS:
        return SignInRefused(_REFUSALS[key], error_key=key)
    known = key if key and key.replace("_", "").isalnum() and key.isascii() else "no reason given"
    return SignInRefused(
        f"Constant Contact refuses the sign-in ({known}); check the application's settings in the "
        "developer portal, then sign in again.",
        error_key=key,
    )


def check_page_address(address: str) -> None:
    """Make sure that an address may be opened in a browser, or come back to, with a code.

    Raises:
        InsecureAddress: it is neither https:// nor on this machine, or not an address.
    """
    url = read_url(address)
    if url is None:
        raise InsecureAddress("A sign-in address cannot be read; give one like https://…")
    is_plain = address.isascii() and address.isprintable() and " " not in address
    is_safe = url.scheme == "https" or (url.scheme == "http" and is_loopback(url))
    if not (is_plain and is_safe and url.host) or url.userinfo or url.fragment:
        raise InsecureAddress(
            "A sign-in address must begin with https://, or be on this machine, and hold neither "
            "user nor fragment."
        )


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
