"""A connection to one Constant Contact account, kept as a Prefect block."""

import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from difflib import get_close_matches
from typing import ClassVar, cast

from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from pydantic import ConfigDict, Field, SecretStr

from constant_contact import (
    DAILY_REQUESTS,
    ConstantContact,
    Credentials,
    RateLimiter,
    SignInUnavailable,
    Tokens,
)
from tasks.errors import UnknownConnection
from tasks.locks import key_digest, machine_pacer, sole_lock
from tasks.pace import shared_pace
from tasks.quota import DailyQuota, publishing
from tasks.session import ExportSession
from tasks.shared_api import has_shared_api

TOKEN_LOCK_EXPIRES_S = 20.0  # a refresh takes a second or two, and is renewed meanwhile
LONGEST_TURN_S = 120.0  # of others; who takes longer to renew a sign-in has stopped

DETACHED = (
    "The export has no connection any more: it was taken away. Ask an administrator for one "
    "(`segment-export connect NAME`), name it as the export's connection, and run it again."
)


class ConstantContactConnection(Block):
    """Sign-in to one Constant Contact account: who may use it, and what the contract allows.

    Made by `segment-export connect`; exports refer to it by name.
    """

    _block_type_name: ClassVar[str | None] = "Constant Contact Connection"
    _block_type_slug: ClassVar[str | None] = "constant-contact-connection"
    _description: ClassVar[str | None] = (
        "Sign-in to one Constant Contact account. Make it with `segment-export connect`."
    )

    model_config = ConfigDict(hide_input_in_errors=True)

    display_name: str = Field(description="How people call this connection.")
    client_id: str = Field(title="API key", description="Of the Constant Contact application.")
    client_secret: SecretStr | None = Field(
        default=None, description="Of the application; a public client has none."
    )
    refresh_token: SecretStr = Field(description="Replaced at each refresh by a new one.")
    access_token: SecretStr = Field(default=SecretStr(""), description="The current one, if any.")
    access_token_expires_at: float = Field(default=0.0, description="Seconds since 1970, UTC.")
    api_url: str = Field(default="https://api.cc.email/v3", title="API address")
    auth_url: str = Field(
        default="https://authz.constantcontact.com/oauth2/default/v1", title="Sign-in address"
    )
    may_use: list[str] = Field(
        default=["administrators"], description="Who may use this connection."
    )
    contact_allowance: int | None = Field(
        default=None,
        ge=0,
        description="The most contacts the customer's contract allows in one export.",
    )
    daily_requests: int = Field(
        default=DAILY_REQUESTS,
        ge=1,
        description="The most requests a day under this API key; partners may have more.",
    )
    account_id: str = Field(default="", description="Of the account it reaches.")
    account_name: str = Field(default="", description="Of the account it reaches.")
    privacy_accepted_at: datetime | None = Field(
        default=None, description="When it was agreed that personal data leaves."
    )
    privacy_accepted_by: str = Field(default="", description="Who agreed to it.")

    @property
    def credentials(self) -> Credentials:
        """Give the application's API key and secret."""
        return Credentials(client_id=self.client_id, client_secret=self.client_secret)


def connection_slug(name: str) -> str:
    """Turn a connection's name into the name of its block: lower-case letters, digits, dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


async def load_connection(name: str) -> ConstantContactConnection:
    """Load a connection by name.

    Raises:
        UnknownConnection: with near names, or the command that makes one.
    """
    if not name.strip():
        raise UnknownConnection(DETACHED)
    names = await list_connections()
    slug = connection_slug(name)
    if slug in names:
        return await _load_block(slug)
    near = get_close_matches(slug, names, n=3)
    if near:
        hint = f"Did you mean {' or '.join(near)}?"
    elif names:
        hint = f"There are: {', '.join(names)}."
    else:
        hint = "There is none yet; ask an administrator to run `segment-export connect NAME`."
    raise UnknownConnection(f"There is no connection “{name}”. {hint}")


async def _load_block(slug: str) -> ConstantContactConnection:
    return cast("ConstantContactConnection", await ConstantContactConnection.aload(slug))


async def list_connections() -> list[str]:
    """List the names of all connections, sorted."""
    slug = ConstantContactConnection.get_block_type_slug()
    async with get_client() as client:
        try:
            await client.read_block_type_by_slug(slug)
        except ObjectNotFound:  # the first connection registers the type
            return []
        documents = await client.read_block_documents_by_type(slug, include_secrets=False)
    return sorted(document.name for document in documents if document.name)


@asynccontextmanager
async def open_client(session: ExportSession) -> AsyncIterator[None]:
    """Open the client of the connection that a run goes through, for as long as the run takes.

    Raises:
        UnknownConnection: there is no such connection.
    """
    connection = await load_connection(session.request.connection)
    session.contact_allowance = connection.contact_allowance
    async with (
        shared_limits(connection, on_trouble=session.note) as (limiter, session.quota),
        ConstantContact(
            credentials=connection.credentials,
            token_store=BlockTokenStore(session.request.connection),
            api_url=connection.api_url,
            auth_url=connection.auth_url,
            limiter=limiter,
            deadline=session.deadline.timestamp(),
            on_event=session.handover.on_event,
            clock=session.handover.clock,
            sleep=session.handover.sleep,
        ) as client,
    ):
        session.client = client
        yield


@asynccontextmanager
async def shared_limits(
    connection: ConstantContactConnection,
    *,
    on_trouble: Callable[[str], None] = lambda _remark: None,
) -> AsyncIterator[tuple[RateLimiter, DailyQuota]]:
    """Give the pace and the day's quota of a connection's API key, over all who share them."""
    digest = key_digest(connection.api_url, connection.client_id)
    machine = machine_pacer(digest)
    quota = DailyQuota(machine, digest, daily=connection.daily_requests)
    async with publishing(quota):
        if not has_shared_api():
            yield machine, quota
            return
        async with shared_pace(machine, digest, on_trouble=on_trouble) as limiter:
            yield limiter, quota


class BlockTokenStore:
    """Keep a connection's tokens in its block; refresh one at a time over all machines."""

    def __init__(self, name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.slug = connection_slug(name)
        self._clock = clock

    async def load(self) -> Tokens:
        """Return the tokens saved last."""
        block = await _load_block(self.slug)
        return Tokens(
            access_token=block.access_token,
            refresh_token=block.refresh_token,
            expires_at=block.access_token_expires_at,
        )

    async def save(self, tokens: Tokens) -> None:
        """Store new tokens; they are in the database when this returns."""
        block = await _load_block(self.slug)
        block.access_token = tokens.access_token
        block.refresh_token = tokens.refresh_token
        block.access_token_expires_at = tokens.expires_at
        await block.asave(self.slug, overwrite=True)

    def lock(self) -> AbstractAsyncContextManager[object]:
        """Let one process of all machines at a time refresh this connection's tokens.

        Raises:
            SignInUnavailable: another has been at it for so long that it cannot be alive.
        """
        gives_up_at = self._clock() + LONGEST_TURN_S

        def check_turn(holder: str) -> None:
            if self._clock() >= gives_up_at:
                raise SignInUnavailable(
                    "Another process has been renewing this connection's sign-in for two minutes "
                    f"({holder}); end it if it hangs, and run again."
                )

        return sole_lock(
            f"token-{self.slug}", while_waiting=check_turn, expires_s=TOKEN_LOCK_EXPIRES_S
        )
