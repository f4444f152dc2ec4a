"""A Prefect API for machines that have none: started beside the command, gone with it.

Prefect can start a temporary server by itself, but only when the first flow is called, with its
chatter on our output, and it leaves that server running when the command is killed.
"""

import os
import secrets
import socket
import subprocess
import sys
import tempfile
from typing import IO, Self

from cli.errors import CommandFailed

START_TIMEOUT_S = 180.0  # a new database takes 10 to 25 s on a small machine
STOP_TIMEOUT_S = 8.0

QUIET_ENV = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    "PREFECT_SERVER_UI_ENABLED": "false",
}


def configured_api_url() -> str | None:
    """Return the Prefect API that the environment or the active profile names, if any."""
    from prefect.settings import get_current_settings

    return get_current_settings().api.url or None


class EmbeddedPrefect:
    """A Prefect server process of our own on a free loopback port.

    `start` returns at once, so that other work can be done while the server comes up;
    `wait_until_ready` blocks until it answers. As a context manager it starts on entry and
    stops on exit. `api_url` and `auth_string` are known from the start.
    """

    def __init__(self) -> None:
        self.api_url = ""
        # Loopback is open to every user of the machine, and the API hands out connections.
        self.auth_string = f"segment-export:{secrets.token_urlsafe(24)}"
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server process without waiting for it."""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by stop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.api_url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
            self._process = subprocess.Popen(  # noqa: S603 -- our own module
                [sys.executable, "-m", "cli.embedded_server", str(listener.fileno())],
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=self._log,
                pass_fds=(listener.fileno(),),
                start_new_session=True,  # Ctrl-C is ours: the server must outlive the clean-up
                env={
                    **os.environ,
                    **QUIET_ENV,
                    "PREFECT_SERVER_API_AUTH_STRING": self.auth_string,
                },
            )

    @property
    def server_pid(self) -> int | None:
        """Return the id of the server's process while there is one."""
        return self._process.pid if self._process else None

    def wait_until_ready(self) -> None:
        """Block until the server answers.

        Raises:
            CommandFailed: when it does not within `START_TIMEOUT_S`.
        """
        import httpx

        try:
            answer = httpx.get(f"{self.api_url}/health", timeout=START_TIMEOUT_S, trust_env=False)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            _require_home()
            raise CommandFailed(
                f"The embedded Prefect API did not start ({self._last_reason()}). Try again, or "
                "start one with `prefect server start` and set PREFECT_API_URL."
            ) from error

    def stop(self) -> None:
        """Stop the server process, kindly at first."""
        if self._process is None or self._process.stdin is None:
            return
        self._process.stdin.close()
        try:
            self._process.wait(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        if self._log is not None:
            self._log.close()

    def _last_reason(self) -> str:
        if self._log is None:
            return "it was not started"
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        # Uvicorn ends with a line that only says that it ends.
        errors = [line for line in lines if line.split(":")[0].endswith(("Error", "Exception"))]
        return (errors or lines or ["it said nothing"])[-1]


def _require_home() -> None:
    from prefect.settings import get_current_settings

    home = get_current_settings().home
    if not os.access(home, os.W_OK):
        raise CommandFailed(
            f"The embedded Prefect API did not start: its folder {home} cannot be written. Set "
            "PREFECT_HOME to a folder of your own, or PREFECT_API_URL to a Prefect server."
        )
