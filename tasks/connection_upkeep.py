"""What an administrator sees of connections, and does to them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from constant_contact import Account, ConstantContact
from tasks.account_check import naming_scope, require_activities, require_privileges
from tasks.connection import shared_limits, token_pacer
from tasks.connection_block import (
    ConstantContactConnection,
    connection_slug,
    delete_connection,
    load_connection,
    read_connections,
    salvage_connection,
    save_connection,
)
from tasks.errors import NameTaken
from tasks.permission import (
    administrators_of,
    find_asker,
    require_administrator,
    require_permission,
)
from tasks.sign_in_record import (
    LastUse,
    SignInRecord,
    forget_notes,
    move_notes,
    read_moment,
    read_notes,
)
from tasks.token_store import ConnectionTokenStore
from tasks.vaults import credentials_of, vault_of


class Health(StrEnum):
    """How a connection's sign-in is, as far as is known without asking Constant Contact."""

    SIGNED_IN = "signed_in"
    LAPSES_SOON = "lapses_soon"
    LAPSED = "lapsed"
    CUT_OFF = "cut_off"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class ConnectionSummary:
    """One connection as the list shows it; without any secret."""

    name: str
    connection: ConstantContactConnection
    administrators: list[str]
    sign_in: SignInRecord
    last_use: LastUse
    health: Health
    trouble: str = ""

    @property
    def advice(self) -> str:
        """Say how the sign-in is and what is to be done."""
        record = self.sign_in
        lapses = f"{record.lapses_at:%Y-%m-%d}" if record.lapses_at else ""
        connect = f"`segment-export connect {self.name}`"
        return {
            Health.SIGNED_IN: f"renewed {record.renewed_at[:10]}, lapses {lapses} unless used",
            Health.LAPSES_SOON: f"LAPSES {lapses} unless used: `segment-export connections test "
            f"{self.name}` uses it",
            Health.LAPSED: f"lapsed {lapses}: {connect}",
            Health.CUT_OFF: f"a renewal was cut off at {record.begun_at}: `segment-export "
            f"connections test {self.name}` tells whether it still works",
            Health.REFUSED: f"refused {record.refused_at[:10]}: {connect}",
            Health.BROKEN: self.trouble,
            Health.UNKNOWN: f"not known: `segment-export connections test {self.name}` tells",
        }[self.health]


async def summarise_connections(now: datetime) -> list[ConnectionSummary]:
    """Tell what is known of every connection, sorted by name."""
    found = await read_connections()
    notes = await read_notes(sorted(found))
    return [
        ConnectionSummary(
            name=name,
            connection=connection,
            administrators=administrators_of(connection),
            sign_in=record,
            last_use=last_use,
            health=Health.BROKEN if trouble else judge_sign_in(record, now),
            trouble=trouble,
        )
        for name, (record, last_use) in notes.items()
        for connection, trouble in (found[name],)
    ]


def judge_sign_in(record: SignInRecord, now: datetime) -> Health:
    """Judge a sign-in by what is known of it."""
    if record.refused_at:
        return Health.REFUSED
    if record.lapses_at is not None and now >= record.lapses_at:
        return Health.LAPSED
    if read_moment(record.begun_at):
        return Health.CUT_OFF
    if record.lapses_at is None:
        return Health.UNKNOWN
    return Health.LAPSES_SOON if record.is_about_to_lapse(now) else Health.SIGNED_IN


@asynccontextmanager
async def open_account(name: str) -> AsyncIterator[ConstantContact]:
    """Reach the account of a connection outside of an export.

    Raises:
        UnknownConnection: there is none of that name.
        NotAllowed: it is not for whoever asks.
        VaultUnusable: its tokens are not to be had here.
    """
    connection = await load_connection(name)
    require_permission(name, connection, await find_asker())
    store = ConnectionTokenStore(name)
    kept = await store.load_secrets()
    async with (
        shared_limits(connection) as (limiter, _),
        ConstantContact(
            credentials=credentials_of(connection, kept),
            token_store=store,
            api_url=connection.api_url,
            auth_url=connection.auth_url,
            limiter=limiter,
            token_limiter=token_pacer(connection),
        ) as client,
    ):
        yield client


async def try_connection(name: str) -> Account:
    """Ask the account who it is, and whether an export would be let through.

    Raises:
        AccessDenied: naming the privileges that the signed-in user lacks.
    """
    async with open_account(name) as client:
        await require_privileges(client)
        with naming_scope("account_read"):
            account = await client.get_account()
        with naming_scope("contact_data"):
            await require_activities(client)
        return account


async def require_own(name: str) -> None:
    """Refuse to change a connection that is not there, or is for others to change.

    Raises:
        UnknownConnection: there is none of that name.
        NotAllowed: only its administrators may.
    """
    connection, _ = await salvage_connection(name)
    require_administrator(name, connection, await find_asker())


async def rename_connection(name: str, new_name: str) -> None:
    """Give a connection another name; its sign-in goes with it.

    Raises:
        UnknownConnection: there is none of that name.
        NotAllowed: only its administrators may.
        NameTaken: there is one of the new name.
    """
    slug, new_slug = connection_slug(name), connection_slug(new_name)
    async with ConnectionTokenStore(slug).take_turn():
        connection = await load_connection(slug)
        require_administrator(slug, connection, await find_asker())
        if new_slug in await read_connections():
            raise NameTaken(f"There is a connection “{new_slug}” already; choose another name.")
        if connection.display_name == name:
            connection.display_name = new_name
        await save_connection(new_slug, connection.model_copy())
        await delete_connection(slug)
        await move_notes(slug, new_slug)


async def remove_connection(name: str) -> None:
    """Remove a connection, its tokens first.

    Raises:
        UnknownConnection: there is none of that name.
        NotAllowed: only its administrators may.
    """
    slug = connection_slug(name)
    async with ConnectionTokenStore(slug).take_turn():
        connection, _ = await salvage_connection(slug)
        require_administrator(slug, connection, await find_asker())
        if not await _shares_file(slug, connection):
            await vault_of(slug, connection).remove()
        await delete_connection(slug)
        await forget_notes(slug)


async def _shares_file(slug: str, connection: ConstantContactConnection) -> bool:
    """Say whether another connection keeps its secrets in the same file.

    So it is for two names of one connection, where a process was killed as it renamed it.
    """
    if connection.vault != "file":
        return False
    others = {**await read_connections()}
    others.pop(slug, None)
    return any(other.vault_file == connection.vault_file for other, _ in others.values())
