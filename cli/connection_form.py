"""What an administrator fills in to create a connection."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from rich.console import Console

from cli.errors import CommandRefused
from cli.sign_in import SignInWay
from constant_contact import InsecureAddress, parse_base_url
from tasks.connection_block import ConstantContactConnection, connection_slug
from tasks.errors import VaultUnusable
from tasks.permission import os_user
from tasks.vaults import ensure_key, new_vault_file

PRIVACY_STATEMENT = (
    "By connecting you let this system copy personal data of the segments' members (e-mail "
    "addresses, names and the attributes that exports map) to Constant Contact. Once there, the "
    "data is outside of this system's control and subject to Constant Contact's own terms; your "
    "administrator can stop further copies by removing the connection."
)


@dataclass(frozen=True, slots=True)
class ConnectionForm:
    """What an administrator fills in; without a file that holds a refresh token, they sign in.

    What is left empty is as usual in a new connection, and as it was in one that is there.
    """

    name: str
    client_id: str = ""
    client_secret_file: Path | None = None
    refresh_token_file: Path | None = None
    api_url: str = ""
    auth_url: str = ""
    display_name: str = ""
    accepts_data_privacy: bool = False
    may_use: tuple[str, ...] = ()
    contact_allowance: int | None = None
    daily_requests: int | None = None
    vault: str = ""
    vault_dir: Path | None = None
    client_secret: SecretStr | None = None
    way: SignInWay = field(default_factory=SignInWay)

    @property
    def said(self) -> dict[str, Any]:
        """Give what is filled in of a connection's own fields, but for secrets and their place."""
        values = {
            "display_name": self.display_name,
            "client_id": self.client_id,
            "api_url": self.api_url.rstrip("/"),
            "auth_url": self.auth_url.rstrip("/"),
            "may_use": list(self.may_use),
            "contact_allowance": self.contact_allowance,
            "daily_requests": self.daily_requests,
        }
        return {name: value for name, value in values.items() if value not in (None, "", [])}


def check_form(form: ConnectionForm) -> None:
    """Refuse what is wrong whether there is a connection of that name or not.

    Raises:
        CommandRefused: the name is none, an address leads nowhere safe, or a file cannot be read.
    """
    if not connection_slug(form.name):
        raise CommandRefused(f"The name {form.name!r} holds no letter or digit; choose another.")
    _check_address(form.api_url, "API address", "--api-url")
    _check_address(form.auth_url, "sign-in address", "--auth-url")
    for file in (form.client_secret_file, form.refresh_token_file):
        if file is not None:
            read_secret(file)


def _check_address(address: str, name: str, option: str) -> None:
    """Refuse an address that tokens may not travel to: before somebody signs in for it."""
    if not address:
        return
    try:
        parse_base_url(address, name=name)
    except InsecureAddress as error:
        raise CommandRefused(f"{error} Correct {option}.") from error


def fill_in(form: ConnectionForm, *, agreed_by: str = "") -> ConstantContactConnection:
    """Turn a form into a new connection that is not saved yet.

    Args:
        form: complete, but for what may stay empty.
        agreed_by: who fills it in; without it the user whose process this is.

    Raises:
        CommandRefused: something is missing, or a file cannot be read.
    """
    if not form.accepts_data_privacy:
        raise CommandRefused(
            f"{PRIVACY_STATEMENT} If you agree, run the command again with --accept-data-privacy."
        )
    check_form(form)
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
        **{"display_name": form.name, **form.said},
        client_secret=secret,
        refresh_token=refresh_token,
        vault="file" if vault_file else "block",
        vault_file=vault_file,
        privacy_accepted_at=datetime.now(UTC),
        privacy_accepted_by=agreed_by or os_user().name,
    )


def open_vault(form: ConnectionForm, *, beside: str = "") -> str:
    """Make ready where an encrypted file will keep the connection's secrets; return its path.

    Args:
        form: which may name a folder.
        beside: the file that keeps them now, if one does.

    Raises:
        CommandRefused: the folder or the key cannot be made.
    """
    try:
        at_hand = Path(beside).parent if beside else None
        folder = form.vault_dir or at_hand or Path.home() / ".segment-export" / "vault"
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
