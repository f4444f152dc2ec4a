"""An office, whose connections an administrator keeps, and a desk, with saved exports."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.vaults import KEY_FILE_VARIABLE
from tests.conftest import Finished, PrefectServer, World, connect
from tests.e2e.clearing import remove_deployed
from tests.e2e.desk import Desk
from tests.e2e.office import Office


@pytest.fixture(scope="module")
def office_profiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("profiles") / "profiles.parquet"
    pl.DataFrame(
        {"CustomerId": ["c1"], "EMail": ["ann@example.com"], "Segments": [["Gold"]]}
    ).write_parquet(file)
    return file


@pytest.fixture
def office(
    world: World,
    here: Callable[..., Finished],
    office_profiles: Path,
    prefect_server: PrefectServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Office]:
    monkeypatch.chdir(tmp_path)
    opened = Office(world, here, office_profiles, prefect_server)
    yield opened
    opened.ask(opened.tidy_up())


@pytest.fixture
def desk(
    here: Callable[..., Finished], prefect_server: PrefectServer, world: World, tmp_path: Path
) -> Iterator[Desk]:
    """A desk; what is deployed from it is gone afterwards, for others share the server."""
    pl.DataFrame(
        {
            "CustomerId": ["a", "b", "c"],
            "EMail": ["a@example.com", "b@example.com", "c@example.com"],
            "Segments": [["Gold"], ["Gold", "Silver"], ["Silver"]],
        }
    ).write_parquet(tmp_path / "profiles.parquet")
    desk = Desk(here, prefect_server, world, tmp_path / "prefect.yaml")
    yield desk
    with (
        temporary_settings({PREFECT_API_URL: prefect_server.api_url}),
        get_client(sync_client=True) as client,
    ):
        remove_deployed(client)


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
