"""The embedded Prefect API's own process: serves on an inherited socket, ends with its parent.

Run as `python -m cli.embedded_server FD`. Its standard input is a pipe that the parent holds:
when the parent ends, however it ends, the pipe closes and this process stops too.
"""

import os
import socket
import sys
import threading

SHUTDOWN_GRACE_S = 5.0


def serve(listening_fd: int) -> None:
    """Serve the Prefect API on a listening socket until standard input closes."""
    import uvicorn
    from prefect.server.api.server import create_app

    server = uvicorn.Server(
        uvicorn.Config(create_app(ephemeral=True), log_level="error", lifespan="on")
    )

    def stop_with_parent() -> None:
        while sys.stdin.buffer.read(1):
            pass
        server.should_exit = True
        threading.Timer(SHUTDOWN_GRACE_S, os._exit, args=(0,)).start()

    threading.Thread(target=stop_with_parent, daemon=True).start()
    server.run(sockets=[socket.socket(fileno=listening_fd)])
    os._exit(0)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
