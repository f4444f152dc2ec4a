"""What runs share: locks, over one machine and over all, and the pace under one API key."""

import asyncio
import fcntl
import functools
import hashlib
import os
import socket
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from constant_contact import MachinePacer
from tasks.errors import SharedFolderUnusable
from tasks.leases import EXPIRES_S, Holder, Lease, shared_lease
from tasks.shared_api import has_shared_api

POLL_S = 0.1

# A delivery's file is of use for the length of its run, a pace's until the day ends.
KEPT_FOR_S = 10 * 24 * 3600.0
FORGETTABLE = ("delivery-*.lock", "requests-*", "sending-*")


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
    file = shared_folder() / f"{name}.lock"
    while (descriptor := _try_lock(file)) is None:
        while_waiting()
        await asyncio.sleep(POLL_S)
    try:
        os.utime(descriptor)  # so that no cleaner of temporary files takes it for forgotten
        yield
    finally:
        os.close(descriptor)


def _try_lock(file: Path) -> int | None:
    """Open and lock a file; None where another has it."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    if os.fstat(descriptor).st_nlink == 0:  # removed before it was locked: others see a new one
        os.close(descriptor)
        return None
    return descriptor


@asynccontextmanager
async def sole_lock(
    name: str,
    *,
    while_waiting: Callable[[str], None] = lambda _holder: None,
    on_lost: Callable[[], None] = lambda: None,
    on_trouble: Callable[[str], None] = lambda _remark: None,
    expires_s: float = EXPIRES_S,
    patience_s: float | None = None,
) -> AsyncIterator[Lease | None]:
    """Hold a lock over all machines that share a Prefect server, else over this machine.

    `while_waiting` is told who has it, before each further try; what it raises ends the waiting.
    A machine that dies with the lock frees it `expires_s` later; the other arguments are those of
    `shared_lease`.

    Raises:
        SharedFolderUnusable: there is no place to share.
    """
    async with machine_lock(name, while_waiting=lambda: while_waiting("this machine")):
        if not has_shared_api():
            yield None
            return
        async with shared_lease(
            name,
            holder=Holder(f"{socket.gethostname()}, process {os.getpid()}", machine_id()),
            while_waiting=while_waiting,
            on_lost=on_lost,
            on_trouble=on_trouble,
            expires_s=expires_s,
            patience_s=patience_s,
        ) as lease:
            yield lease


def key_digest(api_url: str, client_id: str) -> str:
    """Name an API key of a service without telling it."""
    return hashlib.sha256(f"{api_url} {client_id}".encode()).hexdigest()[:16]


def machine_pacer(digest: str) -> MachinePacer:
    """Give the pacer that all processes of this machine share for the API key of this digest.

    Raises:
        SharedFolderUnusable: there is no place to share.
    """
    return MachinePacer(shared_folder() / f"requests-{digest}")


def machine_id() -> str:
    """Name those processes that share this machine's locks.

    The name lies in the folder of the locks; a folder that was copied with a disk image counts as
    another on another host.

    Raises:
        SharedFolderUnusable: there is no place to share.
    """
    file = shared_folder() / "machine"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        stored = os.pread(descriptor, 64, 0)
        if not stored:
            stored = uuid.uuid4().hex.encode()
            os.pwrite(descriptor, stored, 0)
        os.utime(descriptor)
    finally:
        os.close(descriptor)
    return hashlib.sha256(stored + socket.gethostname().encode()).hexdigest()[:16]


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
    remove_forgotten(folder)
    return folder


@functools.cache  # once a process is enough
def remove_forgotten(folder: Path) -> None:
    """Remove what runs have left in the shared folder and nobody has touched for ten days."""
    before = time.time() - KEPT_FOR_S
    for pattern in FORGETTABLE:
        for file in folder.glob(pattern):
            with suppress(OSError):
                if file.lstat().st_mtime < before:
                    _remove_unless_locked(file, before)


def _remove_unless_locked(file: Path, before: float) -> None:
    descriptor = _try_lock(file)
    if descriptor is None:
        return
    try:
        if os.fstat(descriptor).st_mtime < before:
            file.unlink()
    finally:
        os.close(descriptor)
