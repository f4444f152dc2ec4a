"""Reach the account of a connection: with its sign-in, its pace and its quota."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from constant_contact import TOKEN_INTERVAL_S, ConstantContact, MachinePacer, RateLimiter
from tasks.connection_block import (
    DETACHED,
    ConstantContactConnection,
    connection_slug,
    list_connections,
    load_connection,
)
from tasks.locks import key_digest, machine_pacer, shared_folder
from tasks.pace import shared_pace
from tasks.permission import find_asker, require_permission
from tasks.quota import DailyQuota, publishing
from tasks.session import ExportSession
from tasks.shared_api import has_shared_api
from tasks.sign_in_record import IDLE_LIFE, note_use, read_sign_in
from tasks.token_store import ConnectionTokenStore
from tasks.vaults import credentials_of

__all__ = [
    "DETACHED",
    "ConnectionTokenStore",
    "ConstantContactConnection",
    "connection_slug",
    "list_connections",
    "load_connection",
    "open_client",
    "shared_limits",
    "token_pacer",
]


@asynccontextmanager
async def open_client(session: ExportSession) -> AsyncIterator[None]:
    """Open the client of the connection that a run goes through, for as long as the run takes.

    Raises:
        UnknownConnection: there is no such connection.
        NotAllowed: it is not for whoever runs the export.
        VaultUnusable: its tokens are not to be had here.
    """
    name = session.request.connection
    connection = await load_connection(name)
    asker = await find_asker()
    require_permission(name, connection, asker)
    session.contact_allowance = connection.contact_allowance
    session.api_url = connection.api_url
    store = ConnectionTokenStore(name)
    kept = await store.load_secrets()
    await _warn_when_idle(session, store.slug)
    await note_use(store.slug, by=asker.name, now=session.now())
    async with (
        shared_limits(connection, on_trouble=session.note) as (limiter, session.quota),
        ConstantContact(
            credentials=credentials_of(connection, kept),
            token_store=store,
            api_url=connection.api_url,
            auth_url=connection.auth_url,
            limiter=limiter,
            token_limiter=token_pacer(connection),
            deadline=session.deadline.timestamp(),
            on_event=session.handover.on_event,
            clock=session.handover.clock,
            sleep=session.handover.sleep,
        ) as client,
    ):
        session.client = client
        yield


async def _warn_when_idle(session: ExportSession, slug: str) -> None:
    record = await read_sign_in(slug)
    now = datetime.now(UTC)
    if record.lapses_at is not None and record.is_about_to_lapse(now):
        session.note(
            f"The connection's sign-in had not been used since {record.renewed_at[:10]} and would "
            f"have lapsed on {record.lapses_at:%Y-%m-%d}: nobody uses it for {IDLE_LIFE.days} days "
            f"and it is lost. `segment-export connections test {slug}` uses it."
        )


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


def token_pacer(connection: ConstantContactConnection) -> RateLimiter:
    """Give the pace of the sign-in service: one request a second of this machine's processes.

    Between machines the lock of a connection's tokens is what keeps them apart.
    """
    digest = key_digest(connection.auth_url, connection.client_id)
    return MachinePacer(shared_folder() / f"requests-tokens-{digest}", interval_s=TOKEN_INTERVAL_S)
