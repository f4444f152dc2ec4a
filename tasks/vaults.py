"""Where a connection's secrets are kept: in its Prefect block, or in an encrypted file.

Whoever reaches Prefect's API can read what is in a block. Of a file the block tells the path, and
it opens with a key that Prefect never sees.
"""

import asyncio
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr

from constant_contact import Credentials, Tokens
from tasks.connection_block import ConstantContactConnection, change_connection
from tasks.errors import VaultUnusable

KEY_VARIABLE = "SEGMENT_EXPORT_VAULT_KEY"
KEY_FILE_VARIABLE = "SEGMENT_EXPORT_VAULT_KEY_FILE"
SUFFIX = ".tokens"

_PRIVATE_FOLDER = 0o700
_PRIVATE_FILE = 0o600


@dataclass(frozen=True, slots=True)
class KeptSecrets:
    """What a vault keeps of one connection."""

    tokens: Tokens
    client_secret: SecretStr | None


class Vault(Protocol):
    """Where the secrets of one connection are kept."""

    async def load(self) -> KeptSecrets:
        """Return what was kept last."""
        ...

    async def require_writable(self) -> None:
        """Refuse to go on where nothing could be kept."""
        ...

    async def keep(self, kept: KeptSecrets) -> None:
        """Return only when it is kept durably; what was kept before stays until then."""
        ...

    async def remove(self) -> None:
        """Forget it."""
        ...


def vault_of(slug: str, connection: ConstantContactConnection) -> Vault:
    """Give the vault of a connection that was just loaded."""
    if connection.vault == "file":
        return FileVault(Path(connection.vault_file))
    return BlockVault(slug, connection)


def credentials_of(connection: ConstantContactConnection, kept: KeptSecrets) -> Credentials:
    """Give the application's API key and secret."""
    return Credentials(client_id=connection.client_id, client_secret=kept.client_secret)


class BlockVault:
    """Keep secrets in the connection's block, which is Prefect's to protect."""

    def __init__(self, slug: str, connection: ConstantContactConnection) -> None:
        self._slug = slug
        self._connection = connection

    async def load(self) -> KeptSecrets:
        """Return what came with the block."""
        tokens = Tokens(
            access_token=self._connection.access_token,
            refresh_token=self._connection.refresh_token,
            expires_at=self._connection.access_token_expires_at,
        )
        return KeptSecrets(tokens, self._connection.client_secret)

    async def require_writable(self) -> None:
        """Trust Prefect's API, from which the block was read just now."""

    async def keep(self, kept: KeptSecrets) -> None:
        """Store new tokens, and nothing else, so that no other change of the block is undone."""
        tokens = kept.tokens
        values = {
            "access_token": tokens.access_token.get_secret_value(),
            "refresh_token": tokens.refresh_token.get_secret_value(),
            "access_token_expires_at": tokens.expires_at,
        }
        await change_connection(self._slug, values)

    async def remove(self) -> None:
        """Do nothing: it goes with the block."""


class FileVault:
    """Keep secrets in an encrypted file that only its owner may read.

    Raises:
        VaultUnusable: the file or its key is not here, or the two do not belong together.
    """

    def __init__(self, file: Path, *, environment: Mapping[str, str] = os.environ) -> None:
        self.file = file
        self._environment = environment

    async def load(self) -> KeptSecrets:
        """Read and decrypt the file."""
        return await asyncio.to_thread(self._load)

    async def require_writable(self) -> None:
        """Keep once more what is kept: that goes wrong as keeping anything else would."""
        await self.keep(await self.load())

    async def keep(self, kept: KeptSecrets) -> None:
        """Encrypt, and put the new file in the place of the old when it is on the disk."""
        await asyncio.to_thread(self._keep, kept)

    async def remove(self) -> None:
        """Delete the file."""
        await asyncio.to_thread(self._remove)

    def _load(self) -> KeptSecrets:
        try:
            sealed = self.file.read_bytes()
        except FileNotFoundError:
            raise VaultUnusable(
                f"The connection's tokens are kept in {self.file}, which is not on this machine. "
                "Run where it is, or share its folder with this machine."
            ) from None
        except OSError as error:
            raise VaultUnusable(
                f"The connection's tokens are kept in {self.file}, which cannot be read here "
                f"({error.strerror}). Run as the user whom it belongs to."
            ) from None
        try:
            found = json.loads(open_lock(self._environment).decrypt(sealed))
        except InvalidToken:
            raise VaultUnusable(
                f"The key at hand does not open {self.file}, in which the connection's tokens are "
                f"kept. Give the one it was made with in {KEY_VARIABLE} or {KEY_FILE_VARIABLE}."
            ) from None
        client_secret = found["client_secret"]
        return KeptSecrets(
            Tokens.of(
                access_token=found["access_token"],
                refresh_token=found["refresh_token"],
                expires_at=found["expires_at"],
            ),
            SecretStr(client_secret) if client_secret else None,
        )

    def _keep(self, kept: KeptSecrets) -> None:
        content = {
            "access_token": kept.tokens.access_token.get_secret_value(),
            "refresh_token": kept.tokens.refresh_token.get_secret_value(),
            "expires_at": kept.tokens.expires_at,
            "client_secret": kept.client_secret and kept.client_secret.get_secret_value(),
        }
        sealed = open_lock(self._environment).encrypt(json.dumps(content).encode())
        try:
            replace_durably(self.file, sealed)
        except OSError as error:
            raise VaultUnusable(
                f"The connection's tokens cannot be kept in {self.file} ({error.strerror})."
            ) from None

    def _remove(self) -> None:
        for file in (self.file, _successor(self.file)):
            file.unlink(missing_ok=True)


def new_vault_file(folder: Path, slug: str) -> Path:
    """Name a file for a connection's secrets that no other has; make its folder private.

    Raises:
        VaultUnusable: the folder cannot be made, or others may look into it.
    """
    try:
        folder = folder.expanduser().absolute()
        folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        is_open = bool(folder.stat().st_mode & 0o077)
    except OSError as error:
        raise VaultUnusable(
            f"The folder {folder} for tokens cannot be made ({error.strerror}); choose another "
            "with --vault-dir."
        ) from None
    except RuntimeError:
        raise VaultUnusable(
            f"The folder {folder} for tokens is of a user whom this machine does not know; choose "
            "another with --vault-dir."
        ) from None
    if is_open:
        raise VaultUnusable(
            f"The folder {folder} for tokens can be read by others: make it private with "
            "chmod 700, or choose another with --vault-dir."
        )
    return folder / f"{slug}-{secrets.token_hex(4)}{SUFFIX}"


def open_lock(environment: Mapping[str, str]) -> MultiFernet:
    """Give what encrypts and decrypts; of several keys the first encrypts.

    Raises:
        VaultUnusable: there is no key, or it is none.
    """
    text = environment.get(KEY_VARIABLE, "")
    place = KEY_VARIABLE
    if not text:
        file = key_file(environment)
        place = str(file)
        try:
            text = file.read_text(encoding="ascii")
        except FileNotFoundError:
            raise VaultUnusable(
                "The key of the connections' tokens is not here. Give it in "
                f"{KEY_VARIABLE}, or the file that holds it in {KEY_FILE_VARIABLE} "
                f"(without either it would be in {file})."
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise VaultUnusable(
                f"The key of the connections' tokens in {file} cannot be read "
                f"({getattr(error, 'strerror', None) or 'it is not text'})."
            ) from None
    try:
        return MultiFernet([Fernet(key) for key in text.replace(",", " ").split()])
    except ValueError:
        raise VaultUnusable(
            f"What {place} holds is no key for tokens: it should be 44 characters, as "
            "`segment-export connect … --vault file` makes it."
        ) from None


def key_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Tell which file holds the key, unless it is in the environment."""
    named = environment.get(KEY_FILE_VARIABLE, "")
    return Path(named) if named else Path.home() / ".segment-export" / "vault.key"


def ensure_key(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Make a key where there is none yet; return the file that was made.

    Raises:
        VaultUnusable: it cannot be written.
    """
    file = key_file(environment)
    if environment.get(KEY_VARIABLE) or file.exists():
        return None
    try:
        file.parent.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        replace_durably(file, Fernet.generate_key())
    except OSError as error:
        raise VaultUnusable(
            f"A key for the connections' tokens cannot be made in {file} ({error.strerror}); name "
            f"another file in {KEY_FILE_VARIABLE}."
        ) from None
    return file


def replace_durably(file: Path, content: bytes) -> None:
    """Put a private file in the place of another at once, when it is safely on the disk."""
    successor = _successor(file)
    descriptor = os.open(
        successor, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, _PRIVATE_FILE
    )
    with os.fdopen(descriptor, "wb") as output:
        output.write(content)
        output.flush()
        os.fsync(output.fileno())
    successor.replace(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _successor(file: Path) -> Path:
    # One name, so that what a process leaves behind that is killed is overwritten by the next.
    return file.with_name(file.name + ".new")
