"""What a person does while `connect` waits: at a terminal, in a browser, on another device."""

import asyncio
import contextvars
import os
import pty
import re
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from playwright.sync_api import Page

from sandbox import SandboxSettings
from tasks.connection import list_connections
from tests.conftest import Commands
from tests.waiting import PATIENCE_S, wait_for

T = TypeVar("T")


def settings_of(port: int, **more: Any) -> SandboxSettings:
    return SandboxSettings(
        redirect_uris=(f"http://127.0.0.1:{port}/signed-in",), device_interval_s=1, **more
    )


@dataclass
class Connecting:
    """`connect` while it waits for somebody to sign in at `url`."""

    name: str
    thread: threading.Thread
    ended: list[tuple[int, str]]
    url: str = ""

    def finish(self) -> tuple[int, str]:
        """Return the exit code and the line for a person."""
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()
        return self.ended[0]


Begin = Callable[..., Connecting]


@dataclass
class Terminal:
    """A command at a terminal, and what the terminal shows."""

    process: subprocess.Popen[str]
    screen: int
    shown: str = ""

    def read_until(self, pattern: str) -> str:
        while not (found := re.search(pattern, self.shown)):
            assert self._read(), self.shown
        return found[found.re.groups]

    def answer(self, question: str, text: str) -> None:
        self.read_until(question + r"[^\n]*(: |\n)")
        os.write(self.screen, f"{text}\n".encode())

    def finish(self) -> int:
        while self._read():
            pass
        return self.process.wait(PATIENCE_S)

    def _read(self) -> bool:
        ready, _, _ = select.select([self.screen], [], [], PATIENCE_S)
        try:
            piece = os.read(self.screen, 4096) if ready else b""
        except OSError:  # what the other end of a terminal says when it is closed
            piece = b""
        self.shown += piece.decode()
        return bool(piece)


@contextmanager
def at_a_terminal(commands: Commands, *arguments: str) -> Iterator[Terminal]:
    screen, keyboard = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", *arguments],
        stdin=keyboard, stdout=keyboard, stderr=keyboard, text=True,
        env=commands.env, cwd=commands.folder, start_new_session=True,
    ) as process:  # fmt: skip
        os.close(keyboard)
        try:
            yield Terminal(process, screen)
        finally:
            process.kill()
            os.close(screen)


def allow(page: Page, one: Connecting) -> None:
    page.goto(one.url)
    page.get_by_role("button", name="Allow").click()
    page.get_by_role("heading", name=re.compile("igned in")).wait_for()


def say_what_is_shown(capfd: pytest.CaptureFixture[str], pattern: str) -> str:
    """Read what the command shows until it shows what is looked for."""
    shown: list[str] = []

    def look() -> str:
        shown.append(capfd.readouterr().err)
        found = re.search(pattern, "".join(shown))
        return found[1] if found else ""

    shown: str = wait_for(look, f"line like {pattern}")
    return shown


def ask_prefect(question: Coroutine[Any, Any, T]) -> T:
    """Ask in a thread of its own: playwright has an event loop running in this one."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(contextvars.copy_context().run, asyncio.run, question).result()


def is_saved(name: str) -> bool:
    return name in ask_prefect(list_connections())
