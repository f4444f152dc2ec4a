"""Ask an account who it is and whether a sign-in suffices for exports; save the connection."""

from cli.errors import CommandFailed, CommandRefused
from constant_contact import (
    AccessDenied,
    Account,
    ConstantContact,
    ConstantContactError,
    Granted,
    InsecureAddress,
    NotAuthorised,
    SignInExpired,
)
from tasks.account_check import (
    SCOPE_USES,
    naming_scope,
    phrase_ungranted,
    require_activities,
    require_privileges,
)
from tasks.connection import shared_limits, token_pacer
from tasks.connection_block import ConstantContactConnection, change_connection
from tasks.errors import ExportRefused
from tasks.new_connection import NewConnectionStore, settle_administrators
from tasks.vaults import credentials_of


async def save_and_check(
    name: str, connection: ConstantContactConnection, granted: Granted | None = None
) -> Account:
    """Save a connection and check that it suffices; ask the account who it is.

    What a person has just `granted` is checked before anything is saved. A refresh token is spent
    by the first request: a new connection is saved with what came of it, and not before. In any
    case a connection of that name that works stays as it is when this one does not.

    Raises:
        CommandRefused: the sign-in, or what it is for, is refused.
        CommandFailed: the account could not be asked.
    """
    if granted is not None:
        require_scopes(granted)
        connection.access_token = granted.tokens.access_token
        connection.refresh_token = granted.tokens.refresh_token
        connection.access_token_expires_at = granted.tokens.expires_at
    store = NewConnectionStore(name, connection)
    try:
        connection.administrators = await settle_administrators(name)
        async with (
            shared_limits(connection) as (limiter, _),
            ConstantContact(
                credentials=credentials_of(connection, store.given),
                token_store=store,
                api_url=connection.api_url,
                auth_url=connection.auth_url,
                limiter=limiter,
                token_limiter=token_pacer(connection),
            ) as client,
        ):
            await require_privileges(client)
            with naming_scope("account_read"):
                account = await client.get_account(with_address=True)
            _require_same_account(connection, account)
            with naming_scope("contact_data"):
                await require_activities(client)
        await store.keep_all()
    except SignInExpired as error:
        raise CommandRefused(
            "Constant Contact refuses the refresh token: it is spent, has expired, or belongs to "
            f"another API key. Sign in anew and give the new one. {store.what_was_saved}"
        ) from error
    except (AccessDenied, ExportRefused, InsecureAddress, NotAuthorised) as error:
        raise CommandRefused(f"{error} {store.what_was_saved}") from error
    except ConstantContactError as error:
        raise CommandFailed(f"{error} {store.what_was_saved}") from error
    about = {
        "account_id": account.encoded_account_id,
        "account_name": account.organization_name or "",
    }
    async with store.take_turn():
        await change_connection(store.slug, about)
    return account


def require_scopes(granted: Granted) -> None:
    """Refuse a sign-in that is allowed too little to deliver exports.

    Raises:
        CommandRefused: naming each scope that is missing, and what it is for.
    """
    missing = set() if granted.scopes is None else set(SCOPE_USES) - granted.scopes
    missing.discard("offline_access")  # the refresh token that it stands for says more
    if not granted.tokens.refresh_token.get_secret_value():
        missing.add("offline_access")
    if missing:
        raise CommandRefused(f"{phrase_ungranted(missing)} Nothing was saved.")


def _require_same_account(connection: ConstantContactConnection, account: Account) -> None:
    """Refuse a new sign-in to another account: the lists of saved exports are not in it."""
    found = account.encoded_account_id
    if connection.account_id and found != connection.account_id:
        raise AccessDenied(
            f"You have signed in to another account ({account.organization_name or 'no name'}, "
            f"{found}) than this connection's ({connection.account_name or 'no name'}, "
            f"{connection.account_id}). Sign in to that one, or connect under another name."
        )
