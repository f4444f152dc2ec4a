"""A mark on this machine that a delivery is being sent, left behind by a run that was cut off.

The destination is the journal, but it shows a new job late: a run that begins seconds after
another was killed could miss what that one had just got accepted.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from constant_contact import Patience
from tasks.locks import shared_folder
from tasks.session import ExportSession

MARK_EVERY_S = 1.0

# As long as the client itself looks for a job whose answer was lost, from the last mark on.
LATE_SHOW_S = sum(Patience().looks_after_s) + MARK_EVERY_S


def mark_sending(session: ExportSession) -> None:
    """Note that a batch is on its way now."""
    now = session.handover.clock()
    descriptor = os.open(_mark(session), os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(session.repeat).encode())
        os.utime(descriptor, (now, now))
    finally:
        os.close(descriptor)


@asynccontextmanager
async def keeping_marked(session: ExportSession) -> AsyncIterator[None]:
    """Renew the mark while a batch is on its way: an upload may be repeated for minutes."""
    marking = asyncio.create_task(_keep_marking(session))
    try:
        yield
    finally:
        marking.cancel()


async def _keep_marking(session: ExportSession) -> None:
    while True:
        await asyncio.sleep(MARK_EVERY_S)
        if session.waiting:
            with suppress(OSError):  # what was marked before still stands
                mark_sending(session)


def seconds_unsettled(session: ExportSession) -> float:
    """Tell for how long what a run that was cut off has sent may still not be shown; 0 if none."""
    try:
        sent_at = _mark(session).stat().st_mtime
    except FileNotFoundError:
        return 0.0
    wait_s = sent_at + LATE_SHOW_S - session.handover.clock()
    return min(max(wait_s, 0.0), LATE_SHOW_S)


def read_cut_off_repeat(session: ExportSession) -> int:
    """Tell which repeat of its delivery a run was sending that was cut off; 0 if none was."""
    with suppress(OSError, ValueError):
        return int(_mark(session).read_text())
    return 0


def clear_mark(session: ExportSession) -> None:
    """Note that nothing is under way any more whose end is not known."""
    with suppress(OSError):
        _mark(session).unlink(missing_ok=True)


def _mark(session: ExportSession) -> Path:
    return shared_folder() / f"sending-{session.delivery}"
