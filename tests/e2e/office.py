"""A world with the command in this process, and connections made without it."""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from pydantic import SecretStr

from constant_contact import Tokens
from sandbox._tokens import ACCOUNT_OWNER, ALL_SCOPES
from sandbox._world import AppCredentials
from tasks.connection_block import ConstantContactConnection, change_connection, delete_connection
from tasks.new_connection import keep_connection
from tasks.permission import os_user
from tasks.vaults import KeptSecrets
from tests.conftest import Finished, PrefectServer, World, using_prefect


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

    def connect(self, name: str, *more: str, app: AppCredentials | None = None) -> Finished:
        """Connect, with the refresh token of an application where one is given."""
        if app is not None:
            for option, text in (
                ("--client-secret-file", app.client_secret),
                ("--refresh-token-file", app.refresh_token),
            ):
                file = self.world.commands.folder / f"{name}{option}"
                file.write_text(text)
                more += (option, str(file))
            more += ("--client-id", app.client_id)
        return self.here("connect", name, *more)

    def edit(self, name: str, **values: Any) -> None:
        """Change a block as somebody does in Prefect's UI, which does not check it."""
        self.ask(change_connection(name, values))

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
