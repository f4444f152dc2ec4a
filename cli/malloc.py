"""What the C library keeps of the memory that a process has freed."""

import ctypes
from contextlib import suppress

MOST_ARENAS = 2
TRIM_THRESHOLD_BYTES = 128 * 1024  # glibc's own, while no large block has been freed

_M_TRIM_THRESHOLD = -1  # these two are of glibc's malloc.h
_M_ARENA_MAX = -8


def keep_little_freed() -> None:
    """Have glibc hand back what threads have freed; another C library does as it does.

    A backfill delivers snapshot after snapshot in one process, with threads of its own each time.
    By default glibc keeps up to 64 MiB at the end of each arena once a large block was freed
    (`mallopt(3)`, `M_MMAP_THRESHOLD`), and has an arena for nearly each thread. An arena that there
    is already goes on being used, so that this is for the beginning of a process.
    """
    with suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES)
        mallopt(_M_ARENA_MAX, MOST_ARENAS)
