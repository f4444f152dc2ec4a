"""Have a Prefect API for one command: the configured one, or an embedded one that says so."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cli.embedded import EmbeddedPrefect, configured_api_url
from cli.errors import CommandFailed, CommandRefused
from deployments.heartbeats import FREQUENCY_VARIABLE, HEARTBEAT_S

QUIET_PREFECT = {
    # Prefect's own log lines go to its API, not onto the terminal
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "segment_export",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    # What its queues of logs and events could not send is of no use to a person
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
    "DO_NOT_TRACK": "1",
    # On a server a run that is silent for long is taken for dead, one of the command line as well
    FREQUENCY_VARIABLE: str(HEARTBEAT_S),
}

DRAIN_TIMEOUT_S = 5.0
LOOK_EVERY_S = 0.2
DEBUG_VARIABLE = "SEGMENT_EXPORT_DEBUG"  # tasks.step reads it; importing that takes two seconds


@contextmanager
def prefect_api(
    say: Callable[[str], None], *, meanwhile: Future[Any] | None = None
) -> Iterator[None]:
    """Let Prefect be used inside this block.

    Where work that goes on `meanwhile` fails before an embedded API is up, its error is raised at
    once.
    """
    if (api_url := configured_api_url()) is not None:
        _require_answer(api_url)
        yield
        return
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    from tasks.shared_api import EMBEDDED_API_VARIABLE

    say("No Prefect API is configured (PREFECT_API_URL): starting an embedded one.")
    # In this order: when the API is stopped early, waiting for it ends too.
    with ThreadPoolExecutor(1, "prefect") as executor, EmbeddedPrefect() as embedded:
        is_ready = executor.submit(embedded.wait_until_ready)
        if meanwhile is not None:
            # In short waits, as a signal that another thread was given does not end a long one.
            both: list[Future[Any]] = [is_ready, meanwhile]
            while wait(both, timeout=LOOK_EVERY_S, return_when=FIRST_EXCEPTION).not_done:
                if any(one.done() and one.exception() for one in both):
                    break
            if meanwhile.done():
                meanwhile.result()
        is_ready.result()
        here = {
            PREFECT_API_URL: embedded.api_url,
            PREFECT_API_AUTH_STRING: embedded.auth_string,
        }
        os.environ[EMBEDDED_API_VARIABLE] = embedded.api_url
        with temporary_settings(here):
            try:
                yield
            finally:
                send_what_is_queued()


def _require_answer(api_url: str) -> None:
    from prefect.client.orchestration import get_client

    try:
        with get_client(sync_client=True) as client:
            trouble = client.api_healthcheck()
    except Exception as error:  # noqa: BLE001 -- whatever keeps it from answering
        trouble = error
    if trouble is not None:
        raise CommandFailed(
            f"The Prefect API at {api_url} does not answer as one ({type(trouble).__name__}). "
            "Start it, mend PREFECT_API_URL (it ends in /api), or unset it to use an embedded one."
        ) from trouble


def send_what_is_queued() -> None:
    """Wait until Prefect has sent its logs and events: once its API is gone it keeps trying."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=DRAIN_TIMEOUT_S)


def isolate_prefect(folder: Path) -> None:
    """Give this process a Prefect of its own below a folder, apart from anybody's set-up.

    Nothing of the environment is taken over, be it the database of a server in production. What
    names a server or a database is set, as Prefect reads files of the current folder as well.

    Raises:
        CommandRefused: the folder cannot be made.
    """
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        if name not in QUIET_PREFECT:
            del os.environ[name]
    home = folder.absolute() / "prefect"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.mkdir(exist_ok=True)
    except OSError as error:
        raise CommandRefused(
            f"The folder {folder} cannot be made ({error.strerror}): choose another with --folder."
        ) from None
    os.environ["PREFECT_HOME"] = str(home)
    os.environ["PREFECT_API_URL"] = ""
    os.environ["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = (
        f"sqlite+aiosqlite:///{home / 'prefect.db'}"
    )


def keep_prefect_quiet(*, shows_details: bool) -> None:
    """Set Prefect up for a command line, before it is imported; what is set already stays."""
    if shows_details:
        os.environ[DEBUG_VARIABLE] = "1"
        os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "ERROR"
    for name, value in QUIET_PREFECT.items():
        os.environ.setdefault(name, value)
