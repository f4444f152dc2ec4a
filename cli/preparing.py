"""Prepare contacts while a Prefect API starts, and give that up when the command ends early."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from pathlib import Path

from cli.background import begin
from pipeline import Prepared
from schemas.export import ExportRequest
from tasks.preparation import prepare_telling
from tasks.session import Progress

GIVING_UP_TAKES_S = 2.0


class _GivenUp(Exception):
    """Nobody waits for the contacts any more."""


@contextmanager
def preparing(
    request: ExportRequest, report_dir: Path | None, on_progress: Callable[[Progress], None]
) -> Iterator[Future[Prepared]]:
    """Prepare an export beside this block.

    Where the block ends before, the preparation does when it next tells how far it is; a step
    that tells nothing for long is not waited for.
    """
    is_over = threading.Event()

    def tell(progress: Progress) -> None:
        if is_over.is_set():
            raise _GivenUp
        on_progress(progress)

    prepared = begin(lambda: prepare_telling(request, report_dir, tell), "prepare")
    try:
        yield prepared
    finally:
        is_over.set()
        wait([prepared], timeout=GIVING_UP_TAKES_S)
