"""`segment-export connect`: create a connection and check that it works."""

import asyncio
import getpass
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr
from rich.console import Console

from cli.errors import CommandFailed, CommandRefused
from cli.prefect_api import prefect_api
from constant_contact import (
    DAILY_REQUESTS,
    AccessDenied,
    Account,
    ConstantContact,
    ConstantContactError,
    InsecureAddress,
    NotAuthorised,
    SignInExpired,
    Tokens,
)
from tasks.connection import (
    BlockTokenStore,
    ConstantContactConnection,
    connection_slug,
    load_connection,
    shared_limits,
)
from tasks.errors import ExportRefused

PRIVACY_STATEMENT = (
    "By connecting you let this system copy personal data of the segments' members (e-mail "
    "addresses, names and the attributes that exports map) to Constant Contact. Once there, the "
    "data is outside of this system's control and subject to Constant Contact's own terms; your "
    "administrator can stop further copies by removing the connection."
)


@dataclass(frozen=True, slots=True)
class ConnectionForm:
    """What an administrator fills in to create a connection."""

    name: str
    client_id: str
    client_secret_file: Path | None
    refresh_token_file: Path
    api_url: str
    auth_url: str
    display_name: str
    accepts_data_privacy: bool
    may_use: tuple[str, ...] = ("administrators",)
    contact_allowance: int | None = None
    daily_requests: int = DAILY_REQUESTS


def connect_account(form: ConnectionForm, *, as_json: bool) -> None:
    """Create or renew a connection, with an embedded Prefect API where there is none; say so.

    Raises:
        CommandError: as `create_connection`.
    """
    connection = fill_in(form)
    console = Console(stderr=True)
    with prefect_api(lambda line: console.print(line, highlight=False, soft_wrap=True)):
        account = asyncio.run(save_and_check(form.name, connection))
    _tell(form, account, as_json=as_json)


def fill_in(form: ConnectionForm) -> ConstantContactConnection:
    """Turn a form into a connection that is not saved yet.

    Raises:
        CommandRefused: consent is missing, or a file cannot be read.
    """
    if not form.accepts_data_privacy:
        raise CommandRefused(
            f"{PRIVACY_STATEMENT} If you agree, run the command again with --accept-data-privacy."
        )
    if not connection_slug(form.name):
        raise CommandRefused(f"The name {form.name!r} holds no letter or digit; choose another.")
    secret = _read_secret(form.client_secret_file) if form.client_secret_file else None
    return ConstantContactConnection(
        display_name=form.display_name,
        client_id=form.client_id,
        client_secret=secret,
        refresh_token=_read_secret(form.refresh_token_file),
        api_url=form.api_url.rstrip("/"),
        auth_url=form.auth_url.rstrip("/"),
        may_use=list(form.may_use),
        contact_allowance=form.contact_allowance,
        daily_requests=form.daily_requests,
        privacy_accepted_at=datetime.now(UTC),
        privacy_accepted_by=getpass.getuser(),
    )


def _read_secret(path: Path) -> SecretStr:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise CommandRefused(f"The file {path} cannot be read: {reason}.") from None
    if not text:
        raise CommandRefused(f"The file {path} is empty; it should hold the secret and no more.")
    return SecretStr(text)


async def save_and_check(name: str, connection: ConstantContactConnection) -> Account:
    """Sign in, save the connection with what came of it, and ask the account who it is.

    It is saved by the sign-in and not before: a connection of that name that works stays as it
    is when this one does not.

    Raises:
        CommandRefused: the sign-in, or what it is for, is refused.
        CommandFailed: the account could not be asked.
    """
    store = NewConnectionStore(name, connection)
    try:
        async with (
            shared_limits(connection) as (limiter, _),
            ConstantContact(
                credentials=connection.credentials,
                token_store=store,
                api_url=connection.api_url,
                auth_url=connection.auth_url,
                limiter=limiter,
            ) as client,
        ):
            account = await client.get_account()
            await _check_activities(client)
    except SignInExpired as error:
        raise CommandRefused(
            "Constant Contact refuses the refresh token: it is spent, has expired, or belongs to "
            f"another API key. Sign in anew and give the new one. {store.what_was_saved}"
        ) from error
    except (AccessDenied, ExportRefused, InsecureAddress, NotAuthorised) as error:
        raise CommandRefused(f"{error} {store.what_was_saved}") from error
    except ConstantContactError as error:
        raise CommandFailed(f"{error} {store.what_was_saved}") from error
    saved = await load_connection(name)
    saved.account_id = account.encoded_account_id or ""
    saved.account_name = account.organization_name or ""
    await saved.asave(connection_slug(name), overwrite=True)
    return account


class NewConnectionStore(BlockTokenStore):
    """Keep the tokens of a connection that is saved, whole, with its first sign-in."""

    def __init__(self, name: str, connection: ConstantContactConnection) -> None:
        super().__init__(name)
        self._connection = connection
        self._is_saved = False

    @property
    def what_was_saved(self) -> str:
        """Say whether the connection is there, after something went wrong."""
        if self._is_saved:
            return "The connection is saved; connect again when that is put right."
        return "Nothing was saved."

    async def load(self) -> Tokens:
        """Return the tokens of the form until they have been used once."""
        if self._is_saved:
            return await super().load()
        return Tokens.of(refresh_token=self._connection.refresh_token.get_secret_value())

    async def save(self, tokens: Tokens) -> None:
        """Save the whole connection the first time, new tokens from then on."""
        if self._is_saved:
            await super().save(tokens)
            return
        self._connection.access_token = tokens.access_token
        self._connection.refresh_token = tokens.refresh_token
        self._connection.access_token_expires_at = tokens.expires_at
        await self._connection.asave(self.slug, overwrite=True)
        self._is_saved = True


async def _check_activities(client: ConstantContact) -> None:
    # Importing and polling need contacts:write; reading one activity is the only harmless proof.
    async for _ in client.iter_activities():
        break


def _tell(form: ConnectionForm, account: Account, *, as_json: bool) -> None:
    slug = connection_slug(form.name)
    if as_json:
        document = {
            "connection": slug,
            "display_name": form.display_name,
            "account_id": account.encoded_account_id,
            "account_name": account.organization_name,
            "may_use": list(form.may_use),
            "contact_allowance": form.contact_allowance,
            "daily_requests": form.daily_requests,
        }
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        return
    console = Console()
    name = account.organization_name or "an account without a name"
    console.print(
        f"✓ Connected “{slug}” to {name} ({account.encoded_account_id or 'no id'}). "
        f"Who may use it: {', '.join(form.may_use)}.",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    console.print(
        f"Next: segment-export run --connection {slug} --help", highlight=False, soft_wrap=True
    )
