"""Connections as an administrator keeps them: who may use them, where their secrets are."""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
import yaml
from prefect.client.orchestration import get_client
from pydantic import SecretStr

from cli.connection_form import ConnectionForm
from cli.connection_renewal import find_renewable
from constant_contact import Tokens
from sandbox._tokens import ACCOUNT_OWNER, ALL_SCOPES, CAMPAIGN_CREATOR
from tasks.connection_block import ConstantContactConnection, delete_connection, load_connection
from tasks.new_connection import keep_connection
from tasks.permission import os_user
from tasks.sign_in_record import SignInRecord, write_sign_in
from tasks.vaults import KEY_FILE_VARIABLE, KEY_VARIABLE, KeptSecrets
from tests.conftest import Finished, PrefectServer, World, connect, using_prefect


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("profiles") / "profiles.parquet"
    pl.DataFrame(
        {"CustomerId": ["c1"], "EMail": ["ann@example.com"], "Segments": [["Gold"]]}
    ).write_parquet(file)
    return file


@dataclass(frozen=True)
class Office:
    """A world with the command in this process, and connections made without it."""

    world: World
    here: Callable[..., Finished]
    profiles: Path
    server: PrefectServer
    saved: list[str] = field(default_factory=list)
    deployed: list[Any] = field(default_factory=list)

    def save(
        self,
        *,
        scopes: frozenset[str] = ALL_SCOPES,
        privileges: frozenset[str] = ACCOUNT_OWNER,
        **values: Any,
    ) -> str:
        name = f"office-{uuid.uuid4().hex[:8]}"
        app = self.world.box.add_client(name, scopes=scopes, privileges=privileges)
        settled = {"administrators": [os_user().name], "display_name": name, **values}
        connection = ConstantContactConnection(
            client_id=app.client_id,
            api_url=self.world.box.api_url,
            auth_url=self.world.box.auth_url,
            **settled,
        )
        tokens = Tokens.of(refresh_token=app.refresh_token)
        self.saved.append(name)
        self.ask(
            keep_connection(name, connection, KeptSecrets(tokens, SecretStr(app.client_secret)))
        )
        return name

    def ask(self, work: Any) -> Any:
        with using_prefect(self.server.api_url):
            return asyncio.run(work)

    def export(self, connection: str, *more: str) -> Finished:
        return self.here(
            "run", "--connection", connection, "--list-id", self.world.list_id, "--json",
            "--profiles", self.profiles, "--segments-column", "Segments", "--segment", "Gold",
            "--email", "EMail", *more,
        )  # fmt: skip

    def uploads(self) -> int:
        return [one.operation for one in self.world.box.state.requests()].count("file_import")

    def deploy(self, export: str, connection: str) -> None:
        async def create() -> None:
            async with get_client() as client:
                flow_id = await client.create_flow_from_name("export-segment")
                request = {"connection": connection, "list_id": self.world.list_id}
                self.deployed.append(
                    await client.create_deployment(
                        flow_id, name=export, parameters={"request": request}
                    )
                )

        self.ask(create())

    async def tidy_up(self) -> None:
        for name in self.saved:
            await delete_connection(name)
        async with get_client() as client:
            for deployment_id in self.deployed:
                await client.delete_deployment(deployment_id)

    def connection_of(self, export: str) -> str:
        async def read() -> Any:
            async with get_client() as client:
                found = await client.read_deployment_by_name(f"export-segment/{export}")
            return found.parameters["request"]["connection"]

        return str(self.ask(read()))


@pytest.fixture
def office(
    world: World, here: Callable[..., Finished], profiles: Path, prefect_server: PrefectServer,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Office]:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    opened = Office(world, here, profiles, prefect_server)
    yield opened
    opened.ask(opened.tidy_up())


Prepare = Callable[[Office], str]


def of_somebody_else(office: Office) -> str:
    return office.save(administrators=["nobody-here"], may_use=["administrators", "group:none"])


def without_privilege(office: Office) -> str:
    return office.save(privileges=CAMPAIGN_CREATOR)


def without_scope(office: Office) -> str:
    return office.save(scopes=frozenset({"account_read", "offline_access"}))


def deactivated(office: Office) -> str:
    name = office.save()
    office.world.box.deactivate_client(name)
    return name


def removed(office: Office) -> str:
    name = office.save()
    assert office.here("connections", "remove", name, "--yes").code == 0
    return name


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (of_somebody_else, "administrators, group:none may use it. Ask an administrator (nobody-"),
        (without_privilege, "lacks the privilege, sign in as an Account Owner or Account Manager"),
        (without_scope, "the sign-in lacks the scopes contact_data and account_read"),
        (deactivated, "refuses the API key or its secret"),
        (removed, "There is no connection “"),
        (lambda _: "", "The export has no connection any more"),
    ],
    ids=["not allowed", "privilege", "scope", "deactivated", "removed", "detached"],
)
def test_export_that_may_not_use_its_connection_is_refused_and_uploads_nothing(
    office: Office, prepare: Prepare, message: str
) -> None:
    name = prepare(office)
    before = office.uploads()
    done = office.export(name)
    assert done.code == 2, done.err
    assert done.document["refused"] is True
    assert message in done.document["message"]
    assert "Traceback" not in done.err
    assert office.uploads() == before


def test_connections_are_listed_with_their_last_use_and_warn_before_they_lapse(
    office: Office,
) -> None:
    name = office.save(display_name="Acme shop", account_name="Acme Inc")
    long_ago = datetime.now(UTC) - timedelta(days=155)
    office.ask(write_sign_in(name, SignInRecord(renewed_at=long_ago.isoformat())))
    listed = office.here("connections")
    assert f"{name} (Acme shop) → Acme Inc\n" in listed.out
    lapses = long_ago + timedelta(days=180)
    assert f"LAPSES {lapses:%Y-%m-%d} unless used" in listed.out
    done = office.export(name)
    assert done.code == 0, done.err
    assert f"would have lapsed on {lapses:%Y-%m-%d}" in " ".join(done.document["notes"])
    (shown,) = [
        one
        for one in office.here("connections", "--json").document["connections"]
        if one["name"] == name
    ]
    assert shown["sign_in"]["state"] == "signed_in"
    assert shown["last_used_by"] == os_user().name
    assert datetime.fromisoformat(shown["last_used_at"]).date() >= long_ago.date()
    assert (shown["vault"], shown["display_name"]) == ("block", "Acme shop")


def test_connection_is_tested_for_what_exports_need(office: Office) -> None:
    works = office.here("connections", "test", office.save(), "--json")
    assert works.code == 0, works.err
    assert works.document["works"] is True
    refused = office.here("connections", "test", office.save(privileges=CAMPAIGN_CREATOR))
    assert refused.code == 2
    assert "contacts:write (to import contacts" in refused.err
    assert office.here("connections", "test", office.save(scopes=frozenset(
        {"account_read", "offline_access"}
    ))).code == 2  # fmt: skip


def test_lists_are_shown_with_their_ids_and_members(office: Office) -> None:
    office.world.box.add_contact("li@example.com", list_ids=[office.world.list_id])
    name = office.save()
    shown = office.here("lists", "--connection", name, "--json").document["lists"]
    (one,) = [entry for entry in shown if entry["list_id"] == office.world.list_id]
    assert one["members"] == 1
    assert one["updated_at"]
    assert [entry["name"] for entry in shown] == sorted(entry["name"] for entry in shown)
    assert office.world.list_id in office.here("lists", "--connection", name).out


def test_connection_is_renamed_with_its_sign_in_unless_exports_use_it(office: Office) -> None:
    name = office.save()
    assert office.here("connections", "test", name).code == 0
    new = f"{name}-new"
    done = office.here("connections", "rename", name, new)
    assert done.code == 0, done.err
    assert office.here("connections", "test", new).code == 0
    assert office.here("connections", "test", name).code == 2
    states = {
        one["name"]: one["sign_in"]["state"]
        for one in office.here("connections", "--json").document["connections"]
    }
    assert states[new] == "signed_in"
    assert name not in states
    other = office.save()
    taken = office.here("connections", "rename", other, new)
    assert (taken.code, "already" in taken.err) == (2, True)
    office.deploy(f"nightly-{name}", new)
    used = office.here("connections", "rename", new, name)
    assert used.code == 2
    assert f"Saved exports use “{new}”: nightly-{name}." in used.err
    assert office.here("connections", "remove", new, "--detach", "--yes").code == 0


def test_signing_in_again_keeps_tokens_where_they_are_or_moves_them(
    office: Office, vaulted: tuple[str, Path]
) -> None:
    name, folder = vaulted

    def renew(connection: str, **form: Any) -> ConstantContactConnection:
        filled = ConnectionForm(
            name=connection, client_id="", client_secret_file=None, refresh_token_file=None,
            api_url="", auth_url="", display_name="", accepts_data_privacy=False, **form,
        )  # fmt: skip
        found = office.ask(find_renewable(filled))
        assert isinstance(found, ConstantContactConnection)
        return found

    kept = renew(name)
    assert (kept.vault, Path(kept.vault_file).parent) == ("file", folder)
    assert not Path(kept.vault_file).exists(), "the file at hand is replaced only when signed in"
    assert kept.client_secret is not None
    moved = renew(name, vault="block")
    assert (moved.vault, moved.vault_file) == ("block", "")
    in_block = office.save()
    assert renew(in_block).vault == "block"
    moved = renew(in_block, vault="file", vault_dir=folder)
    assert (moved.vault, Path(moved.vault_file).parent) == ("file", folder)


def test_connection_is_changed_by_its_administrators_only(office: Office) -> None:
    name = office.save(administrators=["nobody-here"], may_use=[os_user().name])
    assert office.here("connections", "test", name).code == 0
    for arguments in (("rename", name, "mine"), ("remove", name, "--yes")):
        refused = office.here("connections", *arguments)
        assert refused.code == 2
        assert "only its administrators (nobody-here) may change it" in refused.err
    assert office.ask(load_connection(name)).administrators == ["nobody-here"]


def test_connection_in_use_is_removed_only_with_detach(office: Office, tmp_path: Path) -> None:
    name = office.save()
    export, in_file = f"nightly-{name}", f"weekly-{name}"
    office.deploy(export, name.upper())
    request = {
        "connection": name, "list_id": office.world.list_id, "profiles": str(office.profiles),
        "segments": ["Gold"], "segments_column": "Segments", "email": "EMail",
    }  # fmt: skip
    entry = {
        "name": in_file,
        "entrypoint": "flows/export_segment.py:export_segment",
        "parameters": {"request": request},
    }
    file = tmp_path / "prefect.yaml"
    file.write_text(yaml.safe_dump({"name": "exports", "deployments": [entry]}))
    refused = office.here("connections", "remove", name, "--yes")
    assert refused.code == 2
    assert f"{export}, {in_file}" in refused.err
    assert "--detach" in refused.err
    unasked = office.here("connections", "remove", name, "--detach")
    assert (unasked.code, "--yes" in unasked.err) == (2, True)
    assert office.connection_of(export) == name.upper()
    done = office.here("connections", "remove", name, "--detach", "--yes", "--json")
    assert done.code == 0, done.err
    assert done.document["detached"] == [export, in_file]
    assert office.connection_of(export) == ""
    assert yaml.safe_load(file.read_text())["deployments"][0]["parameters"]["request"] == {
        **request,
        "connection": "",
    }
    assert office.here("connections", "test", name).code == 2


@pytest.fixture
def vaulted(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Path]]:
    """A connection made with the command, its tokens in an encrypted file."""
    folder = tmp_path / "vault"
    key = tmp_path / "keys" / "vault.key"
    monkeypatch.setenv(KEY_FILE_VARIABLE, str(key))
    name = f"vaulted-{uuid.uuid4().hex[:8]}"
    app = office.world.box.add_client(name)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    box = _Login(app.client_id, app.client_secret, app.refresh_token, office.world)
    office.world.commands.env[KEY_FILE_VARIABLE] = str(key)
    try:
        done = connect(office.world.commands, box, name, secrets, "--vault-dir", str(folder))  # type: ignore[arg-type] # has what it reads
        assert done.code == 0, done.err
        assert f"Made a key for tokens: {key}" in done.err
        yield name, folder
    finally:
        del office.world.commands.env[KEY_FILE_VARIABLE]


class _Login:
    """What `connect` reads of a sandbox, for another application."""

    def __init__(self, client_id: str, client_secret: str, refresh: str, world: World) -> None:
        self.client_id, self.client_secret, self.refresh_token = client_id, client_secret, refresh
        self.api_url, self.auth_url = world.box.api_url, world.box.auth_url


def test_no_secret_is_in_clear_anywhere_but_with_who_has_the_key(
    office: Office, vaulted: tuple[str, Path], prefect_server: PrefectServer
) -> None:
    name, folder = vaulted
    (file,) = folder.iterdir()
    sealed = file.read_bytes()
    outputs = [
        office.export(name),
        office.here("connections"),
        office.here("connections", "--json"),
    ]
    assert [one.code for one in outputs] == [0, 0, 0], outputs
    block = office.ask(load_connection(name))
    assert "quokka" not in repr(block)
    # Crashes, with everything shown that there is to show.
    failures = [
        office.world.commands.run(
            "connections", "test", name, "--debug", **{KEY_VARIABLE: "k" * 44}
        ),
    ]
    file.write_bytes(b"damaged")
    failures.append(office.world.commands.run("connections", "test", name, "--debug"))
    file.write_bytes(sealed)
    office.world.box.deactivate_client(name)
    assert [one.code for one in failures] == [1, 1]
    assert all("Traceback" in one.err for one in failures)

    desk = office.world.box._world.desk
    mine = [
        token for token, one in desk._access_tokens.items() if one.consent.client.client_id == name
    ]
    mine += [token for token, one in desk._consents.items() if one.client.client_id == name]
    mine.append(desk.clients[name].client_secret)
    assert len(mine) >= 4, "two refresh tokens, an access token and the client secret"
    documents = httpx.post(
        f"{prefect_server.api_url}/block_documents/filter",
        json={"include_secrets": True, "limit": 200},
        timeout=60,
    ).text
    assert name in documents
    written = {
        str(path): path.read_bytes()
        for place in (prefect_server.home, folder)
        for path in place.rglob("*")
        if path.is_file()
    }
    written["the API"] = documents.encode()
    written |= {
        f"output {n}": (one.out + one.err).encode() for n, one in enumerate(outputs + failures)
    }
    assert any(name.encode() in content for content in written.values()), "the search finds things"
    for place, content in written.items():
        for secret in mine:
            assert secret.encode() not in content, place

    assert office.here("connections", "remove", name, "--yes").code == 0
    assert not list(folder.iterdir())
