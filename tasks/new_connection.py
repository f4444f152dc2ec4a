"""A connection that is made, or made anew: it is there, whole, with its first sign-in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from constant_contact import Tokens
from tasks.connection_block import (
    ConstantContactConnection,
    load_connection,
    save_connection,
)
from tasks.errors import UnknownConnection
from tasks.permission import (
    administrators_of,
    choose_administrators,
    find_asker,
    list_administrators,
    require_administrator,
)
from tasks.token_store import ConnectionTokenStore
from tasks.vaults import KeptSecrets, Vault, vault_of


class NewConnectionStore(ConnectionTokenStore):
    """Keep the tokens of a connection that is saved, whole, with its first sign-in.

    Until then one of the same name works as before. One that has been seen to work is replaced
    only by one that is known to: tokens are held back until `keep_all`.
    """

    def __init__(self, name: str, connection: ConstantContactConnection) -> None:
        super().__init__(name)
        self._connection = connection
        self._is_saved = False
        self._holds_back = bool(connection.account_id)
        self._has_spent = False
        tokens = Tokens(
            connection.access_token, connection.refresh_token, connection.access_token_expires_at
        )
        self.given = KeptSecrets(tokens, connection.client_secret)

    @property
    def what_was_saved(self) -> str:
        """Say whether the connection is there, after something went wrong."""
        if self._is_saved:
            return "The connection is saved; connect again when that is put right."
        if self._has_spent:
            return (
                "Nothing was saved, the connection is as it was; the refresh token that was given "
                "is spent."
            )
        return "Nothing was saved."

    async def load_secrets(self) -> KeptSecrets:
        """Return what was given until it has been used once."""
        return await super().load_secrets() if self._is_saved else self.given

    async def begin(self) -> None:
        """Take no note of it: the token is not that of the connection of this name."""

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """Keep others from renewing what is about to be replaced."""
        async with self.take_turn():
            yield

    async def save(self, tokens: Tokens) -> None:
        """Save the whole connection the first time, new tokens from then on."""
        if self._is_saved:
            await super().save(tokens)
            return
        if self._holds_back:
            self.given = KeptSecrets(tokens, self.given.client_secret)
            self._has_spent = True
            return
        await self._save_all(tokens)

    async def keep_all(self) -> None:
        """Save the whole connection, which works, where that is not done yet."""
        if not self._is_saved:
            async with self.lock():
                await self._save_all(self.given.tokens)

    async def _save_all(self, tokens: Tokens) -> None:
        before = await _find_vault(self.slug)
        await keep_connection(
            self.slug, self._connection, KeptSecrets(tokens, self.given.client_secret)
        )
        self._is_saved = True
        await self.note_renewal()
        if before is not None:
            await before.remove()


async def keep_connection(
    slug: str, connection: ConstantContactConnection, kept: KeptSecrets
) -> None:
    """Save a connection, its secrets first and only in its vault."""
    in_block = kept
    if connection.vault == "file":
        await vault_of(slug, connection).keep(kept)
        in_block = KeptSecrets(Tokens.of(), None)
    connection.access_token = in_block.tokens.access_token
    connection.refresh_token = in_block.tokens.refresh_token
    connection.access_token_expires_at = in_block.tokens.expires_at
    connection.client_secret = in_block.client_secret
    await save_connection(slug, connection)


async def settle_administrators(name: str) -> list[str]:
    """Say who a connection's administrators are to be: those it has, unless others are listed.

    Raises:
        NotAllowed: it is there, and is for others to change.
    """
    asker = await find_asker()
    try:
        existing = await load_connection(name)
    except UnknownConnection:
        return choose_administrators(asker.name)
    require_administrator(name, existing, asker)
    return list_administrators() or administrators_of(existing)


async def _find_vault(slug: str) -> Vault | None:
    """Give the vault of the connection that is replaced, if there is one."""
    try:
        return vault_of(slug, await load_connection(slug))
    except UnknownConnection:
        return None
