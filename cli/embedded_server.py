"""The embedded Prefect API's own process: serves on an inherited socket, ends with its parent.

Run as `python -m cli.embedded_server FD`, or with `whole` after that for a server with UI and
scheduler, which `segment-export up` brings up. Its standard input is a pipe that the parent holds:
when the parent ends, however it ends, the pipe closes and this process stops too.

Every command has one of its own, so none depends on how another ends. What they share is the
database in Prefect's home, which they must not create or upgrade at the same time: they start
one after the other and work side by side.
"""

import fcntl
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

SHUTDOWN_GRACE_S = 5.0
LOCK_FILE = "segment-export-start.lock"


class PatientServer(uvicorn.Server):
    """A server that starts when no other one of this Prefect home is starting."""

    def __init__(self, config: uvicorn.Config, home: Path) -> None:
        super().__init__(config)
        self._home = home
        self.has_begun = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Bring the database up to date and begin to answer; nothing else goes on here yet."""
        with starting_alone(self._home):
            self.has_begun = True
            await super().startup(sockets)


@contextmanager
def starting_alone(home: Path) -> Iterator[None]:
    """Wait until no other server of this Prefect home is starting, and keep others waiting.

    The kernel frees the lock when its holder dies. A home without write access has no lock; what
    that means for the database is for the server to find out.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        yield
        return
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        # The last line of the log is what a person reads when this takes too long.
        sys.stderr.write("it waited for another command's to start\n")
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def serve(listening_fd: int, *, is_whole: bool) -> None:
    """Serve the Prefect API on a listening socket until standard input closes."""
    serving: list[PatientServer] = []
    threading.Thread(target=_stop_with_parent, args=(serving,), daemon=True).start()

    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings

    server = PatientServer(
        uvicorn.Config(create_app(ephemeral=not is_whole), log_level="error", lifespan="on"),
        get_current_settings().home,
    )
    serving.append(server)
    server.run(sockets=[socket.socket(fileno=listening_fd)])
    os._exit(0)


def _stop_with_parent(serving: list[PatientServer]) -> None:
    while sys.stdin.buffer.read(1):
        pass
    if not serving or not serving[0].has_begun:
        os._exit(0)
    # Kindly, as it may be in the middle of creating its database.
    serving[0].should_exit = True
    threading.Timer(SHUTDOWN_GRACE_S, os._exit, args=(0,)).start()


if __name__ == "__main__":
    serve(int(sys.argv[1]), is_whole="whole" in sys.argv[2:])
