"""What processes of one machine share: locks, and the pace of requests under one API key."""

import asyncio
import fcntl
import hashlib
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from constant_contact import MachinePacer, Pacer, RateLimiter

POLL_S = 0.1

_log = logging.getLogger("segment_export.tasks")


@asynccontextmanager
async def machine_lock(
    name: str, *, while_waiting: Callable[[], None] = lambda: None
) -> AsyncIterator[None]:
    """Hold a lock of this name over all of this user's processes on this machine.

    The kernel frees it when its holder dies. `while_waiting` is called before each further try;
    what it raises ends the waiting.
    """
    descriptor = os.open(shared_folder() / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                while_waiting()
                await asyncio.sleep(POLL_S)
        yield
    finally:
        os.close(descriptor)


def shared_limiter(client_id: str) -> RateLimiter:
    """Give the pacer that all processes of this machine share for an API key.

    Where there is no folder to share it is one for this process alone.
    """
    digest = hashlib.sha256(client_id.encode()).hexdigest()[:16]
    try:
        return MachinePacer(shared_folder() / f"requests-{digest}")
    except OSError as error:
        _log.warning(
            "Requests are paced for this process alone, as there is no private folder to share "
            "with others (%s); several runs at once may be told to slow down.",
            error.strerror,
        )
        return Pacer()


def shared_folder() -> Path:
    """Return a folder that only this user's processes share, and that a restart may empty.

    Raises:
        OSError: somebody else has it.
    """
    folder = Path(tempfile.gettempdir()) / f"segment-export-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(1, f"{folder} is not private")
    return folder
