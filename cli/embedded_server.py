"""The embedded Prefect API's own process: serves on an inherited socket, ends with its parent.

Run as `python -m cli.embedded_server FD`. Its standard input is a pipe that the parent holds:
when the parent ends, however it ends, the pipe closes and this process stops too.
"""

import os
import socket
import sys
import threading
from typing import Protocol

SHUTDOWN_GRACE_S = 5.0


class Stoppable(Protocol):
    """A server that stops when told to exit."""

    should_exit: bool


def serve(listening_fd: int) -> None:
    """Serve the Prefect API on a listening socket until standard input closes."""
    serving: list[Stoppable] = []
    threading.Thread(target=_stop_with_parent, args=(serving,), daemon=True).start()

    import uvicorn
    from prefect.server.api.server import create_app

    server = uvicorn.Server(
        uvicorn.Config(create_app(ephemeral=True), log_level="error", lifespan="on")
    )
    serving.append(server)
    server.run(sockets=[socket.socket(fileno=listening_fd)])
    os._exit(0)


def _stop_with_parent(serving: list[Stoppable]) -> None:
    while sys.stdin.buffer.read(1):
        pass
    if not serving:
        os._exit(0)
    # Kindly, as it may be in the middle of creating its database.
    serving[0].should_exit = True
    threading.Timer(SHUTDOWN_GRACE_S, os._exit, args=(0,)).start()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
