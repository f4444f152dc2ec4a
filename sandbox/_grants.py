"""What a person is asked to allow, and the codes that are handed out meanwhile."""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Literal

from sandbox._errors import oauth_error
from sandbox._tokens import Client, Issued, TokenDesk

USER_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # as RFC 8628 proposes: no vowels, so no words
SLOWER_BY_S = 5.0


@dataclass(frozen=True, slots=True)
class BrowserRequest:
    """An application that has sent a person to the consent page; without PKCE no `challenge`."""

    client: Client
    redirect_uri: str
    scopes: frozenset[str]
    state: str
    challenge: str


@dataclass(frozen=True, slots=True)
class Code:
    """An authorization code: what for, who allowed it, until when."""

    request: BrowserRequest
    privileges: frozenset[str]
    expires_at_s: float


@dataclass(slots=True, eq=False)
class DeviceRequest:
    """A device that waits for a person to enter its user code elsewhere."""

    client: Client
    scopes: frozenset[str]
    device_code: str
    user_code: str
    expires_at_s: float
    interval_s: float
    asked_at_s: float = float("-inf")
    decision: Literal["", "allowed", "denied"] = ""
    privileges: frozenset[str] = frozenset()


@dataclass(slots=True)
class GrantBook:
    """Keeps what is being asked, and turns what was allowed into tokens."""

    desk: TokenDesk
    _asked: dict[str, BrowserRequest] = field(default_factory=dict)
    _codes: dict[str, Code] = field(default_factory=dict)
    _devices: dict[str, DeviceRequest] = field(default_factory=dict)

    def ask(self, request: BrowserRequest) -> str:
        """Keep a request until the person decides, and return its ticket."""
        ticket = secrets.token_urlsafe(16)
        self._asked[ticket] = request
        return ticket

    def take_asked(self, ticket: str) -> BrowserRequest | None:
        """Return the request that a ticket stands for, once."""
        return self._asked.pop(ticket, None)

    def issue_code(self, request: BrowserRequest, privileges: frozenset[str]) -> str:
        """Return a code for what a person has allowed."""
        code = secrets.token_urlsafe(24)
        expires_at_s = self.desk.clock.utc_s() + self.desk.settings.authorization_code_life_s
        self._codes[code] = Code(request, privileges, expires_at_s)
        return code

    def redeem_code(
        self, client: Client, code: str, redirect_uri: str, verifier: str, *, has_secret: bool
    ) -> Issued:
        """Exchange a code (cases 3 and 7 to 10); whatever comes of it, the code is spent.

        Without its secret an application proves with PKCE that it is the one that asked.

        Raises:
            RefusedError: invalid_grant.
        """
        found = self._codes.pop(code, None)
        is_good = (
            found is not None
            and found.request.client is client
            and found.request.redirect_uri == redirect_uri
            and self.desk.clock.utc_s() < found.expires_at_s
            and (has_secret or bool(found.request.challenge))
            and _fits(verifier, found.request.challenge)
        )
        if found is None or not is_good:
            raise oauth_error(
                400, "invalid_grant", "The authorization code is invalid or has expired."
            )
        consent = self.desk.add_consent(client, found.request.scopes, found.privileges)
        return self.desk.sign_in(consent)

    def ask_by_device(self, client: Client, scopes: frozenset[str]) -> DeviceRequest:
        """Keep the request of a device (case 11)."""
        settings = self.desk.settings
        letters = "".join(secrets.choice(USER_CODE_LETTERS) for _ in range(8))
        request = DeviceRequest(
            client,
            scopes,
            device_code=secrets.token_urlsafe(32),
            user_code=f"{letters[:4]}-{letters[4:]}",
            expires_at_s=self.desk.clock.utc_s() + settings.device_code_life_s,
            interval_s=settings.device_interval_s,
        )
        self._devices[request.device_code] = request
        return request

    def find_device(self, user_code: str) -> DeviceRequest | None:
        """Return the device that waits for a user code; case and dash do not matter."""
        wanted = _plain(user_code)
        now_s = self.desk.clock.utc_s()
        for one in self._devices.values():
            if _plain(one.user_code) == wanted and not one.decision and now_s < one.expires_at_s:
                return one
        return None

    def redeem_device_code(self, client: Client, device_code: str) -> Issued:
        """Answer a device that asks whether it was allowed (cases 12 to 14).

        Raises:
            RefusedError: not yet, too often, too late, or no.
        """
        found = self._devices.get(device_code)
        if found is None or found.client is not client:
            raise oauth_error(400, "invalid_grant", "The device code is invalid or has expired.")
        now_s = self.desk.clock.utc_s()
        since_s, found.asked_at_s = now_s - found.asked_at_s, now_s
        if now_s >= found.expires_at_s:
            raise oauth_error(400, "expired_token", "The device code has expired.")
        if since_s < found.interval_s:
            found.interval_s += SLOWER_BY_S
            raise oauth_error(400, "slow_down", "The device asks too often.")
        if not found.decision:
            raise oauth_error(400, "authorization_pending", "The device authorization is pending.")
        del self._devices[device_code]
        if found.decision == "denied":
            raise oauth_error(400, "access_denied", "The resource owner denied the request.")
        return self.desk.sign_in(self.desk.add_consent(client, found.scopes, found.privileges))


def _fits(verifier: str, challenge: str) -> bool:
    """Say whether a PKCE verifier is the one that a challenge was made of; neither is fine too."""
    if not challenge or not verifier:
        return not challenge and not verifier
    digest = hashlib.sha256(verifier.encode()).digest()
    return hmac.compare_digest(base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), challenge)


def _plain(user_code: str) -> str:
    return user_code.replace("-", "").strip().upper()
