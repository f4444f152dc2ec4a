"""The sandbox behind a port of loopback: for ever, or in a thread beside a test."""

import asyncio
import contextlib
import gc
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from sandbox._admin import build_admin
from sandbox._box import Box, Places
from sandbox._clock import Clock, SystemClock
from sandbox._gateway import DROP, Gateway
from sandbox._settings import SandboxSettings
from sandbox._world import World

LOOPBACK = "127.0.0.1"
TICK_S = 0.2
START_WITHIN_S = 10.0
YOUNG_COLLECTIONS_ONLY = (50_000, 1_000_000, 1_000_000)
"""Garbage collector thresholds: going through a million contacts stops all answers for seconds."""


class DroppingProtocol(H11Protocol):
    """HTTP as uvicorn speaks it, and a way for the application to cut the connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # a narrower type than asyncio's own
        """Take a connection, and tell the application how to cut it."""
        super().connection_made(transport)
        inner = cast("ASGIApp", self.app)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[DROP] = transport.abort
            await inner(scope, receive, send)

        self.app = cast("Any", app)


class SandboxServer(uvicorn.Server):
    """A uvicorn server that settles activities, says when it is ready, and stops at once."""

    def __init__(self, world: World, gateway: Gateway) -> None:
        super().__init__(
            uvicorn.Config(
                cast("Any", gateway),
                http=DroppingProtocol,
                ws="none",
                lifespan="off",
                loop="asyncio",
                log_config=None,
                log_level="critical",
                access_log=False,
                date_header=False,
                server_header=False,
                timeout_keep_alive=75,
            )
        )
        self._world = world
        self._stopping = asyncio.Event()
        self._ready: Callable[[], None] | None = None

    def on_ready(self, tell: Callable[[], None]) -> None:
        """Have a function called, on the event loop, once requests are answered."""
        self._ready = tell

    def stop_soon(self) -> None:
        """End `main_loop`; to be called on the event loop."""
        self.should_exit = True
        self._stopping.set()

    async def main_loop(self) -> None:
        """Settle activities until told to stop."""
        settling = asyncio.create_task(self._world.account.activities.keep_settling())
        if self._ready is not None:
            self._ready()
        while not self.should_exit:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), TICK_S)
        settling.cancel()
        await asyncio.gather(settling, return_exceptions=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, cut off what is still being answered, close every connection."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        unfinished = list(self.server_state.tasks)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)


def serve(
    settings: SandboxSettings | None = None,
    *,
    port: int = 0,
    clock: Clock | None = None,
    ready: Callable[[Box], None] | None = None,
) -> None:
    """Run a sandbox on loopback until SIGINT or SIGTERM; port 0 takes a free one.

    `ready` is called with the sandbox's handle once it answers; only the handle's `api_url`,
    `auth_url`, `client_id`, `client_secret` and `refresh_token` may be read there.

    Raises:
        OSError: the port is taken.
    """
    with _listen(port) as listener:
        world, server, places = _build(settings, clock, listener)

        def tell() -> None:
            if ready is not None:
                ready(Box(world, places, asyncio.get_running_loop()))

        server.on_ready(tell)
        gc.set_threshold(*YOUNG_COLLECTIONS_ONLY)
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(server.serve(sockets=[listener]))


@contextlib.contextmanager
def running(
    settings: SandboxSettings | None = None, *, clock: Clock | None = None, port: int = 0
) -> Iterator[Box]:
    """Run a sandbox in a thread of this process and yield its handle; port 0 takes a free one."""
    with _listen(port) as listener:
        world, server, places = _build(settings, clock, listener)
        is_ready = threading.Event()
        loops: list[asyncio.AbstractEventLoop] = []

        def tell() -> None:
            loops.append(asyncio.get_running_loop())
            is_ready.set()

        server.on_ready(tell)
        thread = threading.Thread(
            target=lambda: asyncio.run(server.serve(sockets=[listener])),
            name=f"sandbox-{listener.getsockname()[1]}",
        )
        thread.start()
        try:
            if not is_ready.wait(START_WITHIN_S):
                raise RuntimeError("The sandbox did not start")
            yield Box(world, places, loops[0])
        finally:
            server.should_exit = True
            if loops:
                loops[0].call_soon_threadsafe(server.stop_soon)
            thread.join()


def _listen(port: int) -> socket.socket:
    """Bind a port; naming TCP makes asyncio turn Nagle's algorithm off (40 ms an answer)."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
    except OSError:
        listener.close()
        raise
    return listener


def _build(
    settings: SandboxSettings | None, clock: Clock | None, listener: socket.socket
) -> tuple[World, SandboxServer, Places]:
    world = World(settings or SandboxSettings(), clock or SystemClock())
    host = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
    places = Places(f"{host}/v3", f"{host}/oauth2/default/v1", f"{host}/sandbox")
    admin = build_admin(world, {"api_url": places.api_url, "auth_url": places.auth_url})
    return world, SandboxServer(world, Gateway(world, admin)), places
