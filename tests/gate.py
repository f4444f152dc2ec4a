"""Stand between a command and a Prefect server, and hold up what the command says at one point."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Gate:
    """A port that passes everything on, until something that matches a pattern is sent.

    `armed`: it is time for that.
    """

    api_url: str
    holds: re.Pattern[bytes]
    armed: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def pass_on(self, source: socket.socket, target: socket.socket, *, is_held: bool) -> None:
        with suppress(OSError):
            while chunk := source.recv(65536):
                if is_held and self.armed.is_set() and self.holds.search(chunk):
                    self.reached.set()
                    self.opened.wait()
                target.sendall(chunk)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def open_gate(api_url: str, holds: str, *, is_armed: bool = True) -> Iterator[Gate]:
    """Have a gate before a server that holds up what matches until it is opened."""
    server = urlsplit(api_url)
    sockets: list[socket.socket] = []
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        here = f"http://127.0.0.1:{listener.getsockname()[1]}{server.path}"
        gate = Gate(here, re.compile(holds.encode()))
        if is_armed:
            gate.armed.set()

        def begin(source: socket.socket, target: socket.socket, *, is_held: bool) -> None:
            def carry() -> None:
                gate.pass_on(source, target, is_held=is_held)

            thread = threading.Thread(target=carry, daemon=True)
            threads.append(thread)
            thread.start()

        def accept() -> None:
            with suppress(OSError):
                while True:
                    near, _ = listener.accept()
                    far = socket.create_connection((str(server.hostname), server.port or 80))
                    sockets.extend((near, far))
                    begin(near, far, is_held=True)
                    begin(far, near, is_held=False)

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield gate
        finally:
            gate.opened.set()
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for one in sockets:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
            for one in sockets:
                one.close()
