"""One rotating sign-in, many processes, and any of them may be killed at any moment."""

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

import sandbox
from constant_contact import SignInExpired, SignInReplaced, Tokens
from sandbox import Box, SandboxSettings
from tasks.connection_block import (
    ConstantContactConnection,
    delete_connection,
    list_connections,
)
from tasks.connection_upkeep import Health, summarise_connections, try_connection
from tasks.errors import VaultUnusable
from tasks.new_connection import keep_connection
from tasks.permission import os_user
from tasks.sign_in_record import read_sign_in
from tasks.token_store import ConnectionTokenStore
from tasks.vaults import KEY_FILE_VARIABLE, KeptSecrets, ensure_key, new_vault_file
from tests.conftest import ROOT, PrefectServer, using_prefect

PROCESSES = 4
RENEWALS = 5  # by each, so twenty in all

BEFORE = "before the request"
ANSWERED = "after the answer, before the store"
STORING = "in the middle of the store"
STORED = "after the store, before the note"
DONE = "after the store"


@pytest.fixture(autouse=True)
def using(
    prefect_server: PrefectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(tmp_path / "key"))
    ensure_key()
    with using_prefect(prefect_server.api_url):
        yield
        for name in asyncio.run(list_connections()):
            if name.startswith("refreshed-"):
                asyncio.run(delete_connection(name))


def save_connection(box: Box, vault: str, folder: Path, *, is_rotating: bool = True) -> str:
    """Save a connection to an application of its own."""
    name = f"refreshed-{uuid.uuid4().hex[:8]}"
    app = box.add_client(name, is_rotating=is_rotating)
    connection = ConstantContactConnection(
        display_name=name,
        client_id=app.client_id,
        vault=vault,
        vault_file=str(new_vault_file(folder / "vault", name)) if vault == "file" else "",
        api_url=box.api_url,
        auth_url=box.auth_url,
        administrators=[os_user().name],
    )
    kept = KeptSecrets(Tokens.of(refresh_token=app.refresh_token), SecretStr(app.client_secret))
    asyncio.run(keep_connection(name, connection, kept))
    return name


def let_renew(jobs: list[dict[str, Any]], server: PrefectServer) -> list[int]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.refreshing", json.dumps(jobs)],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=ROOT,
        env={
            **server.env(),
            "PYTHONWARNINGS": "ignore",
            KEY_FILE_VARIABLE: os.environ[KEY_FILE_VARIABLE],
        },
        check=False,
    )
    assert done.returncode == 0, done.stderr
    codes: list[int] = json.loads(done.stdout)
    return codes


def job(name: str, *, killed: str = "", times: int = 1, paced: bool = False) -> dict[str, Any]:
    return {"name": name, "killed": killed, "times": times, "paced": paced}


def token_statuses(box: Box) -> list[int | None]:
    return [one.status for one in box.state.requests() if one.operation == "token"]


async def use(box: Box, name: str) -> int:
    """Ask for the account with the token that was stored last."""
    token = (await ConnectionTokenStore(name).load()).access_token.get_secret_value()
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient() as http:
        return (await http.get(f"{box.api_url}/account/summary", headers=headers)).status_code


@pytest.mark.parametrize("vault", ["block", "file"])
def test_four_processes_that_renew_at_once_lose_no_token(
    vault: str, prefect_server: PrefectServer, tmp_path: Path
) -> None:
    # Once at the pace of the real service, one a second over all processes; else in a hurry.
    is_paced = vault == "file"
    settings = SandboxSettings(token_requests_per_second=1 if is_paced else 1_000)
    with sandbox.running(settings) as box:
        name = save_connection(box, vault, tmp_path)
        jobs = [job(name, times=RENEWALS, paced=is_paced)] * PROCESSES
        assert let_renew(jobs, prefect_server) == [0] * PROCESSES
        # On a busy machine two requests may come closer than they left: one waits, and is repeated.
        in_time = [status for status in token_statuses(box) if status != 429]
        assert in_time == [200] * (PROCESSES * RENEWALS)
        assert asyncio.run(use(box, name)) == 200
    assert not asyncio.run(read_sign_in(name)).begun_at


OUTCOMES = {
    ("file", True, BEFORE): "works",
    ("file", True, ANSWERED): "lost",
    ("file", True, STORING): "lost",
    ("file", True, STORED): "works",
    ("file", True, DONE): "works",
    ("block", True, BEFORE): "works",
    ("block", True, ANSWERED): "lost",
    ("block", True, DONE): "works",
    ("block", False, ANSWERED): "works",
}


def test_killed_process_leaves_a_sign_in_that_works_or_says_why_not(
    prefect_server: PrefectServer, tmp_path: Path
) -> None:
    with sandbox.running() as box:
        names = {
            row: save_connection(box, row[0], tmp_path, is_rotating=row[1]) for row in OUTCOMES
        }
        jobs = [job(name, killed=row[2]) for row, name in names.items()]
        assert let_renew(jobs, prefect_server) == [-9] * len(jobs)
        for row, name in names.items():
            expire(name)  # as if a day had passed
            if OUTCOMES[row] == "works":
                asyncio.run(try_connection(name))
                continue
            for _ in range(2):
                with pytest.raises(SignInExpired) as refused:
                    asyncio.run(try_connection(name))
                assert "the renewal that began at 20" in str(refused.value), row
                assert "was cut off before its answer was stored" in str(refused.value), row
                assert f"`segment-export connect {name}`" in str(refused.value), row
        healths = {
            one.name: one.health for one in asyncio.run(summarise_connections(datetime.now(UTC)))
        }
    expected = {"works": Health.SIGNED_IN, "lost": Health.REFUSED}
    for row, name in names.items():
        assert healths[name] is expected[OUTCOMES[row]], row


def test_sign_in_whose_successor_could_not_be_kept_is_not_spent(tmp_path: Path) -> None:
    with sandbox.running() as box:
        name = save_connection(box, "file", tmp_path)
        (vault_file,) = (tmp_path / "vault").iterdir()
        in_the_way = vault_file.with_name(vault_file.name + ".new")
        in_the_way.mkdir()
        with pytest.raises(VaultUnusable, match="cannot be kept in"):
            asyncio.run(try_connection(name))
        assert token_statuses(box) == []
        assert not asyncio.run(read_sign_in(name)).begun_at
        in_the_way.rmdir()
        asyncio.run(try_connection(name))


@pytest.mark.parametrize("vault", ["block", "file"])
def test_renewed_sign_in_does_not_replace_one_that_a_person_made_meanwhile(
    vault: str, tmp_path: Path
) -> None:
    async def renew_while_somebody_connects(name: str) -> KeptSecrets:
        slow, quick = ConnectionTokenStore(name), ConnectionTokenStore(name)
        await slow.load()
        await quick.load()
        theirs = Tokens.of(access_token="theirs", refresh_token="theirs", expires_at=9e9)
        await quick.save(theirs)
        await quick.save(theirs)  # an answer of the store that was lost
        with pytest.raises(SignInReplaced):
            await slow.save(Tokens.of(refresh_token="ours"))
        return await slow.load_secrets()

    with sandbox.running() as box:
        kept = asyncio.run(renew_while_somebody_connects(save_connection(box, vault, tmp_path)))
    assert kept.tokens.refresh_token.get_secret_value() == "theirs"
    assert kept.client_secret


def expire(name: str) -> None:
    async def change() -> None:
        store = ConnectionTokenStore(name)
        vault = await store._vault()
        kept = await vault.load()
        tokens = Tokens(kept.tokens.access_token, kept.tokens.refresh_token, 0.0)
        await vault.keep(KeptSecrets(tokens, kept.client_secret))

    asyncio.run(change())
