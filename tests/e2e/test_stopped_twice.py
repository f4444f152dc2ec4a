"""A command that is to stop at once stores a sign-in first whose old refresh token is spent."""

import asyncio
import signal
from pathlib import Path

import pytest

from sandbox import Fault
from tasks.connection_upkeep import try_connection
from tasks.token_store import ConnectionTokenStore
from tasks.vaults import KeptSecrets, Tokens
from tests.conftest import World, using_prefect
from tests.e2e.running import run_export, write_profiles
from tests.waiting import wait_for

ANSWER_TAKES_S = 8.0
STORING = "The new sign-in is being stored"


async def expire(name: str) -> None:
    vault = await ConnectionTokenStore(name)._vault()
    kept = await vault.load()
    tokens = Tokens(kept.tokens.access_token, kept.tokens.refresh_token, 0.0)
    await vault.keep(KeptSecrets(tokens, kept.client_secret))


def token_requests(world: World) -> int:
    return len(world.box.state.requests("token"))


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM], ids=lambda by: by.name)
def test_second_and_third_signal_wait_until_the_new_sign_in_is_stored(
    world: World, tmp_path: Path, by: signal.Signals
) -> None:
    profiles = write_profiles(world, tmp_path)
    with using_prefect(world.commands.env["PREFECT_API_URL"]):
        asyncio.run(expire(world.connection))
        before = token_requests(world)
        world.box.script(Fault("token", "delay", when="after", seconds=ANSWER_TAKES_S))
        running = run_export(world, profiles)
        wait_for(lambda: token_requests(world) > before, "renewal of the sign-in")
        running.stop(by, says="Stopping in good order")
        running.stop(by, says=STORING)
        running.process.send_signal(by)
        stopped = running.end()
        assert stopped.code == 1, stopped.err
        assert stopped.document["status"] == "incomplete"
        assert stopped.err.count(STORING) == 1
        world.box.clear_script()
        asyncio.run(expire(world.connection))
        asyncio.run(try_connection(world.connection))  # the refresh token is the newest
