"""What processes of one machine know each other by, and the lock that all machines share."""

import asyncio
import os
import tempfile
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from constant_contact import SignInUnavailable
from tasks.locks import (
    key_digest,
    machine_id,
    machine_lock,
    machine_pacer,
    remove_forgotten,
    shared_folder,
    sole_lock,
)
from tasks.token_store import ConnectionTokenStore


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_machine_is_known_by_its_folder_and_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = machine_id()
    assert machine_id() == here
    monkeypatch.setattr("socket.gethostname", lambda: "copy-of-the-disk")
    assert machine_id() != here
    monkeypatch.undo()
    (tmp_path / "other").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "other"))
    assert machine_id() != here


def test_api_keys_are_told_apart_without_being_told() -> None:
    digests = {
        key_digest("https://api.cc.email/v3", "key-1"),
        key_digest("https://api.cc.email/v3", "key-2"),
        key_digest("http://127.0.0.1:8080/v3", "key-1"),
    }
    assert len(digests) == 3
    assert not any("key" in digest for digest in digests)


@pytest.mark.anyio
async def test_processes_of_a_machine_share_the_pace_and_the_count_of_a_key() -> None:
    await machine_pacer("0123").acquire()
    assert machine_pacer("0123").used_today() == 1
    assert machine_pacer("4567").used_today() == 0


@pytest.mark.anyio
async def test_lock_holds_on_this_machine_where_no_prefect_api_is_shared() -> None:
    told: list[str] = []

    def give_up(holder: str) -> None:
        told.append(holder)
        raise TimeoutError

    with temporary_settings({PREFECT_API_URL: None}):
        async with sole_lock("delivery-1") as lease:
            assert lease is None
            with pytest.raises(TimeoutError):
                async with sole_lock("delivery-1", while_waiting=give_up):
                    raise AssertionError("two have it")
            async with sole_lock("delivery-2"):
                pass
        async with asyncio.timeout(5), sole_lock("delivery-1"):
            pass
    assert told == ["this machine"]


@pytest.mark.anyio
async def test_forgotten_files_are_removed_but_not_those_in_use() -> None:
    folder = shared_folder()
    async with machine_lock("delivery-held"):
        for name in ("delivery-old.lock", "requests-old", "sending-old", "machine"):
            (folder / name).touch()
        for file in folder.iterdir():
            os.utime(file, (0, 0))
        (folder / "sending-new").touch()
        remove_forgotten.cache_clear()
        remove_forgotten(folder)
        left = {file.name for file in folder.iterdir()}
    assert left == {"delivery-held.lock", "machine", "sending-new"}


@pytest.mark.anyio
async def test_sign_in_that_another_never_finishes_to_renew_is_not_waited_for() -> None:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 50.0
        return now

    with temporary_settings({PREFECT_API_URL: None}):
        async with ConnectionTokenStore("c").lock():
            with pytest.raises(SignInUnavailable, match="two minutes"):
                async with ConnectionTokenStore("c", clock=clock).lock():
                    raise AssertionError("two have it")
