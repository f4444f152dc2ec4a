"""Processes that renew a connection's sign-in, each by itself; some are killed on the way.

Given jobs as JSON, it forks a process for each, all at once, and prints how they ended: the exit
code, or the signal as a negative number.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from constant_contact import ConstantContact, Pacer, Tokens
from tasks import token_store
from tasks.connection import token_pacer
from tasks.connection_block import load_connection
from tasks.token_store import ConnectionTokenStore
from tasks.vaults import credentials_of


def die(*_: object) -> NoReturn:
    """End as a machine does that loses its power."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


class RenewingStore(ConnectionTokenStore):
    """Takes every access token for spent, and may be killed when it says so."""

    def __init__(self, name: str, killed: str) -> None:
        super().__init__(name)
        self.killed = killed

    async def load(self) -> Tokens:
        return replace(await super().load(), expires_at=0.0)

    async def begin(self) -> None:
        await super().begin()
        if self.killed == "before the request":
            die()

    async def save(self, tokens: Tokens) -> None:
        if self.killed == "after the answer, before the store":
            die()
        if self.killed == "in the middle of the store":
            Path.replace = die  # type: ignore[assignment,method-assign] # it is written, not put
        await super().save(tokens)
        if self.killed == "after the store":
            die()

    async def note_renewal(self) -> None:
        if self.killed == "after the store, before the note":
            die()
        await super().note_renewal()


async def renew(job: dict[str, Any]) -> None:
    connection = await load_connection(job["name"])
    for _ in range(job["times"]):
        store = RenewingStore(job["name"], job["killed"])
        async with ConstantContact(
            credentials=credentials_of(connection, await store.load_secrets()),
            token_store=store,
            api_url=connection.api_url,
            auth_url=connection.auth_url,
            token_limiter=token_pacer(connection) if job["paced"] else Pacer(interval_s=0.001),
        ) as client:
            await client._session._keeper.access_token()


def carry_out(job: dict[str, Any]) -> int:
    asyncio.run(renew(job))
    return 0


def main(jobs: list[dict[str, Any]], act: Callable[[dict[str, Any]], int] = carry_out) -> list[int]:
    children = []
    for job in jobs:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = act(job)
            finally:
                sys.stderr.flush()
                os._exit(code)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


if __name__ == "__main__":
    assert token_store
    sys.stdout.write(json.dumps(main(json.loads(sys.argv[1]))))
