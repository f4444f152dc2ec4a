"""Who we are to Constant Contact: the API key, the tokens, and where the tokens are kept."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NoReturn, Protocol, Self

from pydantic import SecretStr

from constant_contact._errors import MalformedAnswer, SignInReplaced
from constant_contact._models import as_mapping, read_count, read_text

# The shortest lifetime seen in the wild, for an answer that does not say.
_DEFAULT_LIFETIME_S = 28_800
_LONGEST_MARGIN_S = 300


class Unpicklable:
    """Keep secrets inside this process."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} holds secrets and is never pickled")


@dataclass(frozen=True, slots=True)
class Credentials(Unpicklable):
    """The API key of an application; one without a secret is a public client (PKCE, device)."""

    client_id: str
    client_secret: SecretStr | None = None

    @classmethod
    def of(cls, client_id: str, client_secret: str | None = None) -> Self:
        """Wrap plain text; an empty secret is none."""
        return cls(client_id, SecretStr(client_secret) if client_secret else None)


@dataclass(frozen=True, slots=True)
class Tokens(Unpicklable):
    """What a sign-in gave us.

    `expires_at` is in epoch seconds and has the safety margin taken off already: from then on
    the access token is not used any more. An empty access token is one still to be fetched; an
    empty refresh token means that the sign-in asked for no `offline_access`.
    """

    access_token: SecretStr
    refresh_token: SecretStr
    expires_at: float

    @classmethod
    def of(cls, *, access_token: str = "", refresh_token: str = "", expires_at: float = 0) -> Self:
        """Wrap plain text; a refresh token alone is enough to begin with."""
        return cls(SecretStr(access_token), SecretStr(refresh_token), expires_at)

    @classmethod
    def from_answer(cls, answer: object, *, now: float, previous: "Tokens | None" = None) -> Self:
        """Read the token endpoint's answer; `now` in epoch seconds.

        A long-lived refresh token may be left out of the answer: then the previous one stays.

        Raises:
            MalformedAnswer: there is no access token in it.
        """
        found = as_mapping(answer)
        access_token = read_text(found.get("access_token"))
        if access_token is None:
            raise MalformedAnswer(
                "The sign-in service answered without an access token; run again, and connect "
                "again if it stays so."
            )
        refresh_token = read_text(found.get("refresh_token"))
        kept = previous.refresh_token if previous else SecretStr("")
        lifetime_s = read_count(found.get("expires_in")) or _DEFAULT_LIFETIME_S
        margin_s = min(_LONGEST_MARGIN_S, lifetime_s / 10)
        return cls(
            access_token=SecretStr(access_token),
            refresh_token=SecretStr(refresh_token) if refresh_token else kept,
            expires_at=now + lifetime_s - margin_s,
        )


class TokenStore(Protocol):
    """Where the tokens of one connection are kept, shared by every process that uses it.

    What `load` and `begin` raise ends the request that wanted a token; only SignInOutOfReach, which
    says that the place does not answer just now, has them called again for a while.
    """

    async def load(self) -> Tokens:
        """Return the tokens saved last."""
        ...

    async def begin(self) -> None:
        """Hear, under the lock, that the refresh token is about to be sent, and may be spent.

        What could not be saved afterwards is to be refused here, where it costs nothing.
        """
        ...

    async def withdraw(self) -> None:
        """Hear that it was not spent after all."""
        ...

    async def save(self, tokens: Tokens) -> None:
        """Return only when the tokens are kept durably: the old refresh token is spent.

        Called from an event loop of its own.

        Raises:
            SignInReplaced: others than those that were loaded last are kept now; they stay.
        """
        ...

    def lock(self) -> AbstractAsyncContextManager[object]:
        """Let one refresher in at a time, over all processes that share the store."""
        ...


class MemoryTokenStore:
    """Keep tokens for the life of the process: for tests, and for trying a connection out."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self._loaded = tokens
        self._lock = asyncio.Lock()

    async def load(self) -> Tokens:
        """Return the tokens saved last."""
        self._loaded = self.tokens
        return self._loaded

    async def begin(self) -> None:
        """Take no note of it: what would ask for it later dies with the process."""

    async def withdraw(self) -> None:
        """Forget nothing, as nothing was noted."""

    async def save(self, tokens: Tokens) -> None:
        """Keep the tokens.

        Raises:
            SignInReplaced: somebody has put others in the place of those that were loaded.
        """
        replaced = {self._loaded.refresh_token, tokens.refresh_token}
        if self.tokens.refresh_token not in replaced:
            raise SignInReplaced
        self.tokens = tokens

    def lock(self) -> AbstractAsyncContextManager[object]:
        """Let one refresher in at a time."""
        return self._lock
