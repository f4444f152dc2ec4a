"""What processes of one machine share: locks, and the pace of requests under one API key."""

import asyncio
import fcntl
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from constant_contact import MachinePacer, RateLimiter
from tasks.errors import SharedFolderUnusable

POLL_S = 0.1


@asynccontextmanager
async def machine_lock(
    name: str, *, while_waiting: Callable[[], None] = lambda: None
) -> AsyncIterator[None]:
    """Hold a lock of this name over all of this user's processes on this machine.

    The kernel frees it when its holder dies. `while_waiting` is called before each further try;
    what it raises ends the waiting.

    Raises:
        SharedFolderUnusable: there is no place to share.
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
        os.utime(descriptor)  # so that no cleaner of temporary files takes it for forgotten
        yield
    finally:
        os.close(descriptor)


def shared_limiter(client_id: str) -> RateLimiter:
    """Give the pacer that all processes of this machine share for an API key.

    Raises:
        SharedFolderUnusable: there is no place to share.
    """
    digest = hashlib.sha256(client_id.encode()).hexdigest()[:16]
    return MachinePacer(shared_folder() / f"requests-{digest}")


def shared_folder() -> Path:
    """Return a folder that only this user's processes share, and that a restart may empty.

    Raises:
        SharedFolderUnusable: somebody else has it, or it cannot be made.
    """
    folder = Path(tempfile.gettempdir()) / f"segment-export-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise SharedFolderUnusable(
            f"The folder {folder}, through which runs on this machine take turns, cannot be made "
            f"({error.strerror}). Set TMPDIR to a folder of your own."
        ) from error
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise SharedFolderUnusable(
            f"The folder {folder}, through which runs on this machine take turns, belongs to "
            "somebody else or can be read by others. Remove it, or set TMPDIR to a folder of your "
            "own."
        )
    return folder
