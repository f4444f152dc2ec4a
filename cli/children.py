"""Processes that `up` starts, and that end with it, however it ends.

Each gets a pipe as standard input which only this process holds: when it closes, the child knows
that its parent has ended or wants it to end. Ctrl-C does not reach them; the parent decides.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pipeline.private_files import open_private_file


@dataclass(frozen=True, slots=True)
class Child:
    """A running Python module, what it is called, and where its output goes."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(
        cls,
        name: str,
        module: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str],
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Self:
        """Start a module with its arguments in a session of its own; its log begins anew."""
        output = open_private_file(log)
        try:
            process = subprocess.Popen(  # noqa: S603 -- our own modules
                [sys.executable, "-m", *module],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                pass_fds=pass_fds,
                cwd=cwd,
                start_new_session=True,
                env={**os.environ, **env},
            )
        finally:
            os.close(output)
        return cls(name, log, process)

    @property
    def has_ended(self) -> bool:
        """Tell whether the process is gone."""
        return self.process.poll() is not None

    def stop(self, within_s: float) -> None:
        """Ask the process to end, and end it and its session where it does not in time."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(timeout=within_s)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def last_reason(self) -> str:
        """Quote the line of its log that says most about why it ended."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        errors = [line for line in lines if line.split(":")[0].endswith(("Error", "Exception"))]
        return (errors or lines or ["it said nothing"])[-1].strip()[:200]
