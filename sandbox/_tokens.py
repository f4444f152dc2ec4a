"""Applications, what their users allowed them, and the tokens that stand for it."""

import base64
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from sandbox._clock import Clock
from sandbox._settings import SandboxSettings

ALL_SCOPES = frozenset({"account_read", "contact_data", "offline_access"})
KNOWN_SCOPES = ALL_SCOPES | {"account_update", "campaign_data"}
PRIVILEGE_IDS = {
    "account:read": 1,
    "account:update": 2,
    "contacts:read": 10,
    "contacts:write": 11,
    "contacts:lists:read": 12,
    "contacts:lists:write": 13,
    "campaign:create": 30,
    "campaign:read": 31,
}
ACCOUNT_OWNER = frozenset(PRIVILEGE_IDS)
CAMPAIGN_CREATOR = frozenset({"account:read", "campaign:create", "campaign:read"})


@dataclass(slots=True, eq=False)
class Client:
    """An application: its API key and secret, and what its owner has set in the portal.

    A public one has no secret. `redirect_uris` are where a browser may be sent with a code;
    `scopes` are those that it gets of what it asks for.
    """

    client_id: str
    client_secret: str
    is_rotating: bool
    redirect_uris: frozenset[str] = frozenset()
    scopes: frozenset[str] = ALL_SCOPES
    name: str = "Segment export"
    is_active: bool = True

    @property
    def is_public(self) -> bool:
        """Say whether the application has no secret."""
        return not self.client_secret


@dataclass(slots=True, eq=False)
class Consent:
    """What one user allowed one application; `refresh_token` is the one that works now."""

    client: Client
    scopes: frozenset[str]
    privileges: frozenset[str]
    refresh_token: str = ""
    used_at_s: float = 0.0
    is_revoked: bool = False


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A bearer token: whose it is, what it may, until when."""

    consent: Consent
    scopes: frozenset[str]
    expires_at_s: float


@dataclass(frozen=True, slots=True)
class Issued:
    """What a refresh returns; `refresh_token` is empty without the scope offline_access."""

    access_token: str
    refresh_token: str
    scopes: frozenset[str]
    expires_in_s: int


class InvalidGrantError(Exception):
    """The refresh token is unknown, spent, too old or another application's."""


class InvalidScopeError(Exception):
    """More was asked for than the user allowed."""


@dataclass(slots=True)
class TokenDesk:
    """Keeps the applications and hands out tokens."""

    settings: SandboxSettings
    clock: Clock
    clients: dict[str, Client] = field(default_factory=dict)
    _consents: dict[str, Consent] = field(default_factory=dict)
    _access_tokens: dict[str, AccessToken] = field(default_factory=dict)

    def add_client(
        self,
        client_id: str,
        client_secret: str,
        *,
        is_rotating: bool,
        redirect_uris: Iterable[str] = (),
        scopes: Iterable[str] = ALL_SCOPES,
    ) -> Client:
        """Register an application."""
        client = Client(
            client_id, client_secret, is_rotating, frozenset(redirect_uris), frozenset(scopes)
        )
        self.clients[client_id] = client
        return client

    def add_consent(
        self,
        client: Client,
        scopes: Iterable[str] = ALL_SCOPES,
        privileges: Iterable[str] = ACCOUNT_OWNER,
    ) -> Consent:
        """Record that a user with some privileges allowed an application some scopes."""
        consent = Consent(client, frozenset(scopes), frozenset(privileges))
        if "offline_access" in consent.scopes:
            self._renew(consent)
        return consent

    def issue_access_token(
        self,
        consent: Consent,
        scopes: frozenset[str] | None = None,
        life_s: float | None = None,
    ) -> str:
        """Make an access token: a JWT of 1,000 to 1,200 characters with `exp`, `scp` and `sub`."""
        now_s = self.clock.utc_s()
        allowed = consent.scopes if scopes is None else scopes
        expires_at_s = now_s + (self.settings.access_token_life_s if life_s is None else life_s)
        claims = {
            "ver": 1,
            "jti": f"AT.{secrets.token_urlsafe(32)}",
            "iss": "https://identity.constantcontact.com/oauth2/default",
            "aud": "https://api.cc.email/v3",
            "iat": int(now_s),
            "exp": int(expires_at_s),
            "cid": consent.client.client_id,
            "scp": sorted(allowed),
            "sub": "owner@sandbox.example",
        }
        head = {"kid": "sandbox", "alg": "RS256"}
        signature = secrets.token_bytes(420)
        parts = (json.dumps(head).encode(), json.dumps(claims).encode(), signature)
        token = ".".join(map(_base64, parts))
        self._access_tokens[token] = AccessToken(consent, allowed, expires_at_s)
        return token

    def find_access_token(self, token: str) -> AccessToken | None:
        """Return what a bearer token stands for, expired or not; nothing once it was revoked."""
        found = self._access_tokens.get(token)
        return None if found is None or found.consent.is_revoked else found

    def sign_in(self, consent: Consent) -> Issued:
        """Return the first tokens of what a user has just allowed (cases 3, 6 and 9)."""
        return Issued(
            self.issue_access_token(consent),
            consent.refresh_token,
            consent.scopes,
            self.settings.access_token_life_s,
        )

    def revoke(self, client_id: str) -> None:
        """Take back everything that users allowed an application."""
        granted = {token.consent for token in self._access_tokens.values()}
        for consent in granted | set(self._consents.values()):
            if consent.client.client_id == client_id:
                consent.is_revoked = True

    def refresh(self, client: Client, refresh_token: str, scopes: Iterable[str]) -> Issued:
        """Exchange a refresh token (cases 15 to 20); empty `scopes` ask for all that was allowed.

        Raises:
            InvalidGrantError: the refresh token does not work for this application.
            InvalidScopeError: a scope was not among those allowed.
        """
        consent = self._consents.get(refresh_token)
        if consent is None or consent.client is not client or consent.is_revoked:
            raise InvalidGrantError
        if consent.refresh_token != refresh_token:
            if self.settings.reuse_revokes_family:
                consent.refresh_token = ""
            raise InvalidGrantError
        now_s = self.clock.utc_s()
        if now_s - consent.used_at_s > self.settings.refresh_token_idle_life_s:
            raise InvalidGrantError
        asked = frozenset(scopes) or consent.scopes
        if not asked <= consent.scopes:
            raise InvalidScopeError
        consent.used_at_s = now_s
        returned = ""
        if "offline_access" in asked:
            if client.is_rotating:
                self._renew(consent)
            returned = consent.refresh_token
        access_token = self.issue_access_token(consent, asked)
        return Issued(access_token, returned, asked, self.settings.access_token_life_s)

    def _renew(self, consent: Consent) -> None:
        """Give a consent a new refresh token; earlier ones are spent."""
        consent.refresh_token = secrets.token_urlsafe(32)
        consent.used_at_s = self.clock.utc_s()
        self._consents[consent.refresh_token] = consent


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
