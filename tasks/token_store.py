"""The tokens of a connection as the client of the API keeps them: renewed one at a time."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import httpx

from constant_contact import (
    SignInExpired,
    SignInOutOfReach,
    SignInReplaced,
    SignInUnavailable,
    Tokens,
)
from tasks.connection_block import connection_slug, load_connection
from tasks.leases import Lease
from tasks.locks import sole_lock
from tasks.sign_in_record import SignInRecord, read_sign_in, write_sign_in
from tasks.vaults import KeptSecrets, Vault, vault_of

TOKEN_LOCK_EXPIRES_S = 20.0  # a refresh takes a second or two, and is renewed meanwhile
LONGEST_TURN_S = 120.0  # of others; who takes longer to renew a sign-in has stopped
PREFECT_PATIENCE_S = 90.0  # a server on SQLite waits up to a minute for its own file


class ConnectionTokenStore:
    """Keep a connection's tokens in its vault; refresh one at a time over all machines."""

    def __init__(
        self,
        name: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.slug = connection_slug(name)
        self._clock = clock
        self._now = now
        self._before = SignInRecord()  # what was known when the first renewal under the lock began
        self._has_begun = False
        self._loaded: Tokens | None = None
        self._lease: Lease | None = None

    async def load(self) -> Tokens:
        """Return the tokens kept last.

        Raises:
            SignInOutOfReach: Prefect's API does not answer.
        """
        self._loaded = (await self.load_secrets()).tokens
        return self._loaded

    async def load_secrets(self) -> KeptSecrets:
        """Return tokens and client secret as they were kept last."""
        return await (await self._vault()).load()

    async def begin(self) -> None:
        """Note that the refresh token is about to be sent: the one after a crash can tell why.

        Raises:
            VaultUnusable: the token that comes in its place could not be kept.
            SignInOutOfReach: Prefect's API does not answer, or not whose turn it is.
            SignInUnavailable: another machine has taken over.
        """
        if self._lease is not None:
            _require_turn(self._lease)
        if self._has_begun:
            return
        await (await self._vault()).require_writable()
        self._has_begun = True
        self._before = await read_sign_in(self.slug)
        await write_sign_in(self.slug, self._before.begin(self._now()))

    async def withdraw(self) -> None:
        """Take back what `begin` noted: the refresh token is as good as before."""
        if self._has_begun:
            self._has_begun = False
            await write_sign_in(self.slug, self._before)

    async def save(self, tokens: Tokens) -> None:
        """Keep new tokens; they are in the vault when this returns.

        Raises:
            SignInReplaced: somebody has connected again since the old ones were loaded.
        """
        vault = await self._vault()
        kept = await vault.load()
        # The new ones may be there already: where the answer to an earlier try was lost.
        if self._loaded is not None and kept.tokens.refresh_token not in {
            self._loaded.refresh_token,
            tokens.refresh_token,
        }:
            raise SignInReplaced
        await vault.keep(replace(kept, tokens=tokens))
        await self.note_renewal()

    async def note_renewal(self) -> None:
        """Note that the sign-in was just renewed."""
        renewed_at = self._now().isoformat(timespec="seconds")
        await write_sign_in(self.slug, SignInRecord(renewed_at=renewed_at))

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """Let one process of all machines at a time refresh this connection's tokens.

        Raises:
            SignInExpired: with the reason, as far as it is known, and how to sign in again.
            SignInUnavailable: another has been at it for so long that it cannot be alive.
            SignInOutOfReach: Prefect's API does not say whose turn it is.
        """
        async with self.take_turn() as self._lease:
            self._before, self._has_begun = SignInRecord(), False
            try:
                yield
            except SignInExpired as error:
                raise await self._explain(error) from error

    def take_turn(self) -> AbstractAsyncContextManager[Lease | None]:
        """Hold the lock of this connection's tokens, for whatever else changes them.

        Nobody goes on without it, other than with a delivery: a refresh token works once.
        """
        gives_up_at = self._clock() + LONGEST_TURN_S

        def check_turn(holder: str) -> None:
            if self._clock() >= gives_up_at:
                raise SignInUnavailable(
                    "Another process has been renewing this connection's sign-in for two minutes "
                    f"({holder}); end it if it hangs, and run again."
                )

        def refuse(_remark: str) -> None:
            raise _turn_unknown()

        return sole_lock(
            f"token-{self.slug}",
            while_waiting=check_turn,
            on_trouble=refuse,
            expires_s=TOKEN_LOCK_EXPIRES_S,
            patience_s=PREFECT_PATIENCE_S,
        )

    async def _vault(self) -> Vault:
        """Look anew which vault it is: somebody may have connected again meanwhile."""
        try:
            connection = await load_connection(self.slug)
        except httpx.HTTPError as error:
            raise SignInOutOfReach(
                "Prefect's API, through which the sign-in is kept, does not answer "
                f"({type(error).__name__}); run again when it does."
            ) from None
        return vault_of(self.slug, connection)

    async def _explain(self, error: SignInExpired) -> SignInExpired:
        """Say why the sign-in works no more and what to do, and note it."""
        now = self._now()
        is_plain = error.error_key is not None and not error.is_answer_lost
        reason = self._before.explain_refusal(now) if is_plain else str(error)
        refused_at = now.isoformat(timespec="seconds")
        await write_sign_in(self.slug, replace(self._before, refused_at=refused_at))
        return SignInExpired(
            f"{reason} The command is `segment-export connect {self.slug}`.",
            status=error.status,
            error_key=error.error_key,
        )


def _require_turn(lease: Lease) -> None:
    """Make sure that no other machine has taken over, as after a long pause."""
    if lease.is_lost:
        raise SignInUnavailable(
            "Another machine renews this connection's sign-in, as this one stood still meanwhile; "
            "run again."
        )
    if lease.is_late:
        raise _turn_unknown()


def _turn_unknown() -> SignInOutOfReach:
    return SignInOutOfReach(
        "Prefect's API does not say whether another machine is renewing this connection's sign-in; "
        "run again when it answers."
    )
