"""Have a Prefect API for one command: the configured one, or an embedded one that says so."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

from cli.embedded import EmbeddedPrefect, configured_api_url

QUIET_PREFECT = {
    # Prefect's own log lines go to its API, not onto the terminal
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "segment_export",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "DO_NOT_TRACK": "1",
}

DRAIN_TIMEOUT_S = 5.0


@contextmanager
def prefect_api(
    say: Callable[[str], None], *, meanwhile: Future[Any] | None = None
) -> Iterator[None]:
    """Let Prefect be used inside this block.

    Where work that goes on `meanwhile` fails before an embedded API is up, its error is raised at
    once.
    """
    if configured_api_url() is not None:
        yield
        return
    from prefect.settings import PREFECT_API_URL, temporary_settings

    say("No Prefect API is configured (PREFECT_API_URL): starting an embedded one.")
    # In this order: when the API is stopped early, waiting for it ends too.
    with ThreadPoolExecutor(1, "prefect") as executor, EmbeddedPrefect() as embedded:
        is_ready = executor.submit(embedded.wait_until_ready)
        if meanwhile is not None:
            wait([is_ready, meanwhile], return_when=FIRST_EXCEPTION)
            if meanwhile.done():
                meanwhile.result()
        is_ready.result()
        with temporary_settings({PREFECT_API_URL: embedded.api_url}):
            try:
                yield
            finally:
                send_what_is_queued()


def send_what_is_queued() -> None:
    """Wait until Prefect has sent its logs and events: once its API is gone it keeps trying."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=DRAIN_TIMEOUT_S)


def keep_prefect_quiet() -> None:
    """Set Prefect up for a command line, before it is imported; what is set already stays."""
    for name, value in QUIET_PREFECT.items():
        os.environ.setdefault(name, value)
