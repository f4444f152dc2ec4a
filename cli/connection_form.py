"""What an administrator fills in to create a connection."""

import getpass
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr
from rich.console import Console

from cli.errors import CommandRefused
from cli.sign_in import SignInWay
from constant_contact import DAILY_REQUESTS
from tasks.connection_block import ADMINISTRATORS, ConstantContactConnection, connection_slug
from tasks.errors import VaultUnusable
from tasks.vaults import ensure_key, new_vault_file

PRIVACY_STATEMENT = (
    "By connecting you let this system copy personal data of the segments' members (e-mail "
    "addresses, names and the attributes that exports map) to Constant Contact. Once there, the "
    "data is outside of this system's control and subject to Constant Contact's own terms; your "
    "administrator can stop further copies by removing the connection."
)


@dataclass(frozen=True, slots=True)
class ConnectionForm:
    """What an administrator fills in; without a file that holds a refresh token, they sign in."""

    name: str
    client_id: str
    client_secret_file: Path | None
    refresh_token_file: Path | None
    api_url: str
    auth_url: str
    display_name: str
    accepts_data_privacy: bool
    may_use: tuple[str, ...] = ()
    contact_allowance: int | None = None
    daily_requests: int = DAILY_REQUESTS
    vault: str = ""
    vault_dir: Path | None = None
    client_secret: SecretStr | None = None
    way: SignInWay = field(default_factory=SignInWay)


def fill_in(form: ConnectionForm) -> ConstantContactConnection:
    """Turn a form into a connection that is not saved yet.

    Raises:
        CommandRefused: something is missing, or a file cannot be read.
    """
    if not form.accepts_data_privacy:
        raise CommandRefused(
            f"{PRIVACY_STATEMENT} If you agree, run the command again with --accept-data-privacy."
        )
    if not connection_slug(form.name):
        raise CommandRefused(f"The name {form.name!r} holds no letter or digit; choose another.")
    if not form.client_id:
        raise CommandRefused(
            "The application's API key is missing: give it with --client-id. It is in Constant "
            "Contact's developer portal, under My Applications."
        )
    secret = form.client_secret
    if form.client_secret_file:
        secret = read_secret(form.client_secret_file)
    refresh_token = SecretStr("")
    if form.refresh_token_file:
        refresh_token = read_secret(form.refresh_token_file)
    vault_file = open_vault(form) if form.vault == "file" else ""
    return ConstantContactConnection(
        display_name=form.display_name or form.name,
        client_id=form.client_id,
        client_secret=secret,
        refresh_token=refresh_token,
        vault="file" if vault_file else "block",
        vault_file=vault_file,
        api_url=form.api_url.rstrip("/"),
        auth_url=form.auth_url.rstrip("/"),
        may_use=list(form.may_use) or [ADMINISTRATORS],
        contact_allowance=form.contact_allowance,
        daily_requests=form.daily_requests,
        privacy_accepted_at=datetime.now(UTC),
        privacy_accepted_by=getpass.getuser(),
    )


def open_vault(form: ConnectionForm) -> str:
    """Make ready where an encrypted file will keep the connection's secrets; return its path.

    Raises:
        CommandRefused: the folder or the key cannot be made.
    """
    try:
        folder = form.vault_dir or Path.home() / ".segment-export" / "vault"
        file = new_vault_file(folder, connection_slug(form.name))
        made = ensure_key()
    except VaultUnusable as error:
        raise CommandRefused(str(error)) from error
    if made is not None:
        Console(stderr=True).print(
            f"Made a key for tokens: {made}. Workers need it; without it they are lost.",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip
    return str(file)


def read_secret(path: Path) -> SecretStr:
    """Read a file that holds a secret and no more.

    Raises:
        CommandRefused: it cannot be read, or is empty.
    """
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise CommandRefused(f"The file {path} cannot be read: {reason}.") from None
    if not text:
        raise CommandRefused(f"The file {path} is empty; it should hold the secret and no more.")
    return SecretStr(text)
