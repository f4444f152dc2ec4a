"""A mark on this machine that a delivery is being sent, left behind by a run that was cut off.

The destination is the journal, but it shows a new job late: a run that begins seconds after
another was killed could miss what that one had just got accepted.
"""

import os
from pathlib import Path

from constant_contact import Patience
from tasks.locks import shared_folder
from tasks.session import ExportSession

# As long as the client itself looks for a job whose answer was lost.
LATE_SHOW_S = sum(Patience().looks_after_s)


def mark_sending(session: ExportSession) -> None:
    """Note that a batch goes out now."""
    now = session.handover.clock()
    os.close(os.open(_mark(session), os.O_WRONLY | os.O_CREAT, 0o600))
    os.utime(_mark(session), (now, now))


def seconds_unsettled(session: ExportSession) -> float:
    """Tell for how long what a run that was cut off has sent may still not be shown; 0 if none."""
    try:
        sent_at = _mark(session).stat().st_mtime
    except FileNotFoundError:
        return 0.0
    wait_s = sent_at + LATE_SHOW_S - session.handover.clock()
    return min(max(wait_s, 0.0), LATE_SHOW_S)


def clear_mark(session: ExportSession) -> None:
    """Note that nothing is under way any more whose end is not known."""
    _mark(session).unlink(missing_ok=True)


def _mark(session: ExportSession) -> Path:
    return shared_folder() / f"sending-{session.delivery}"
