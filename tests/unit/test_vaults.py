"""The encrypted file in which a connection's secrets are kept, and its key."""

import errno
import os
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from constant_contact import Tokens
from tasks.errors import VaultUnusable
from tasks.vaults import (
    KEY_FILE_VARIABLE,
    KEY_VARIABLE,
    FileVault,
    KeptSecrets,
    ensure_key,
    key_file,
    new_vault_file,
    replace_durably,
)

pytestmark = pytest.mark.anyio

SECRETS = ("access-quokka", "refresh-quokka", "secret-quokka")
KEPT = KeptSecrets(
    Tokens.of(access_token=SECRETS[0], refresh_token=SECRETS[1], expires_at=5.5),
    SecretStr(SECRETS[2]),
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def key() -> str:
    return Fernet.generate_key().decode()


@pytest.fixture
def vault(tmp_path: Path, key: str) -> FileVault:
    file = new_vault_file(tmp_path / "vault", "acme")
    return FileVault(file, environment={KEY_VARIABLE: key})


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


async def test_secrets_come_back_as_they_were_kept(vault: FileVault) -> None:
    await vault.keep(KEPT)
    assert await vault.load() == KEPT
    without_secret = KeptSecrets(Tokens.of(refresh_token="later"), None)
    await vault.keep(without_secret)
    assert await vault.load() == without_secret


async def test_file_is_private_and_shows_no_secret(vault: FileVault) -> None:
    await vault.keep(KEPT)
    assert vault.file.stat().st_mode & 0o777 == 0o600
    assert vault.file.parent.stat().st_mode & 0o777 == 0o700
    assert [file.name for file in vault.file.parent.iterdir()] == [vault.file.name]
    shown = vault.file.read_text() + repr(KEPT) + repr(vault)
    assert not [secret for secret in SECRETS if secret in shown]


async def test_another_key_does_not_open_the_file_and_an_older_one_beside_it_does(
    vault: FileVault, key: str
) -> None:
    await vault.keep(KEPT)
    other = Fernet.generate_key().decode()
    with pytest.raises(VaultUnusable, match=f"does not open .*{KEY_VARIABLE}") as refused:
        await FileVault(vault.file, environment={KEY_VARIABLE: other}).load()
    assert not [one for one in (key, other) if one in str(refused.value)]
    both = FileVault(vault.file, environment={KEY_VARIABLE: f"{other},{key}"})
    assert await both.load() == KEPT
    await both.keep(KEPT)  # with the first key from now on
    assert await FileVault(vault.file, environment={KEY_VARIABLE: other}).load() == KEPT


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "is not here. Give it in SEGMENT_EXPORT_VAULT_KEY"),
        ({KEY_VARIABLE: "quokka"}, "What SEGMENT_EXPORT_VAULT_KEY holds is no key"),
        ({KEY_VARIABLE: " , "}, "What SEGMENT_EXPORT_VAULT_KEY holds is no key"),
        ({KEY_FILE_VARIABLE: "/"}, "in / cannot be read"),
    ],
)
async def test_key_that_is_missing_or_none_is_told_without_quoting_it(
    tmp_path: Path, environment: dict[str, str], message: str
) -> None:
    file = tmp_path / "acme.tokens"
    file.write_bytes(b"sealed")
    with pytest.raises(VaultUnusable) as refused:
        await FileVault(file, environment=environment).load()
    assert message in str(refused.value)
    assert "quokka" not in str(refused.value)


async def test_file_that_is_on_another_machine_is_named(vault: FileVault) -> None:
    with pytest.raises(VaultUnusable, match="which is not on this machine"):
        await vault.load()


async def test_removed_secrets_leave_nothing_behind(vault: FileVault) -> None:
    await vault.keep(KEPT)
    vault.file.with_name(vault.file.name + ".new").write_bytes(b"of a process that was killed")
    await vault.remove()
    assert not list(vault.file.parent.iterdir())
    await vault.remove()


async def test_what_was_kept_stays_when_the_new_cannot_be_written(
    vault: FileVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    await vault.keep(KEPT)

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(VaultUnusable, match="No space left"):
        await vault.keep(KeptSecrets(Tokens.of(refresh_token="later"), None))
    assert await vault.load() == KEPT


def test_key_is_made_once_and_private(home: Path) -> None:
    made = ensure_key({})
    assert made == key_file({}) == home / ".segment-export" / "vault.key"
    assert made.stat().st_mode & 0o777 == 0o600
    assert Fernet(made.read_bytes())
    assert ensure_key({}) is None
    assert ensure_key({KEY_VARIABLE: "given"}) is None
    elsewhere = {KEY_FILE_VARIABLE: str(home / "keys" / "k")}
    assert ensure_key(elsewhere) == home / "keys" / "k"


def test_folder_that_others_can_read_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    with pytest.raises(VaultUnusable, match="chmod 700"):
        new_vault_file(folder, "acme")


def test_folder_of_a_user_who_is_not_there_is_refused() -> None:
    with pytest.raises(VaultUnusable, match="whom this machine does not know"):
        new_vault_file(Path("~nobody-of-this-name/v"), "acme")


def test_names_of_files_never_meet(tmp_path: Path) -> None:
    assert new_vault_file(tmp_path / "v", "acme") != new_vault_file(tmp_path / "v", "acme")


def test_file_and_folder_are_on_the_disk_before_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, bool]] = []
    file = tmp_path / "acme.tokens"

    def note(descriptor: int) -> None:
        synced.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), file.exists()))

    monkeypatch.setattr(os, "fsync", note)
    replace_durably(file, b"sealed")
    assert synced == [(f"{file}.new", False), (str(tmp_path), True)]


async def test_vault_that_could_not_keep_says_so_beforehand(
    vault: FileVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    await vault.keep(KEPT)
    await vault.require_writable()
    assert await vault.load() == KEPT

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(VaultUnusable, match=r"cannot be kept .*No space left on device"):
        await vault.require_writable()
    assert await vault.load() == KEPT
