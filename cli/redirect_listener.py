"""Wait on this machine for a browser that comes back from signing in."""

import hmac
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

LOOPBACK = "127.0.0.1"
HERE = frozenset({LOOPBACK, "localhost"})
ANSWER_WITHIN_S = 180.0  # longer than an exchange takes with all of its repeats
SENT_WITHIN_S = 5.0
POLL_S = 0.1
RETURNED = frozenset({"code", "error", "state"})
STRANGER = (
    "The browser came back from a sign-in that was not begun here (its state differs). Use the "
    "address that the command shows."
)
STYLE = "body{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem}"
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the page's own address holds the code
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
}


@dataclass(frozen=True, slots=True)
class _Page:
    status: HTTPStatus
    title: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """A browser that came back, and waits to be told how it went."""

    query: str = field(repr=False)
    _page: "Future[_Page]" = field(default_factory=Future)
    _is_sent: threading.Event = field(default_factory=threading.Event)

    def answer(self, title: str, text: str, *, is_good: bool) -> None:
        """Show a page in the browser, and return when it has been sent."""
        self._page.set_result(
            _Page(HTTPStatus.OK if is_good else HTTPStatus.FORBIDDEN, title, text)
        )
        self._is_sent.wait(SENT_WITHIN_S)


class RedirectListener:
    """Listen on loopback for the one request that ends a sign-in by browser.

    Any web page can have a browser call this address. Such a call is turned away: by the host that
    the browser was sent to, or because it does not know the `state` of this sign-in.

    Args:
        port: of this machine.
        url: where the browser is sent back to; its path is all that is answered.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, port: int, url: str) -> None:
        self._server = _Server((LOOPBACK, port), _Handler)
        place = urlsplit(url)
        self._server.path = place.path or "/"
        self._server.hosts = HERE | {place.hostname or LOOPBACK}
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_S,), name="redirect-listener", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def expect(self, state: str) -> None:
        """Take only a browser that comes back with this state; before that none is taken."""
        self._server.state = state

    def wait(
        self, within_s: float, *, on_stranger: Callable[[], None] = lambda: None
    ) -> Arrival | None:
        """Return the browser that comes back, None when none does.

        Args:
            within_s: how long to wait.
            on_stranger: told of each that came back from another sign-in and was turned away.
        """
        gives_up_at = time.monotonic() + within_s
        while True:
            try:
                arrival = self._server.arrivals.get(
                    timeout=max(0.0, gives_up_at - time.monotonic())
                )
            except queue.Empty:
                return None
            if arrival is not None:
                return arrival
            on_stranger()


class _Server(ThreadingTCPServer):
    """Serve each connection in a thread of its own: browsers open some that they never use."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self.path = "/"
        self.hosts = HERE
        self.state = ""
        self.arrivals: queue.Queue[Arrival | None] = queue.Queue()  # None: a stranger
        self.is_first = threading.Lock()  # taken by the browser that comes back first


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 30

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        fields = parse_qs(query)
        if path != self.server.path or not RETURNED & fields.keys() or not self._is_sent_here():
            self._show(_Page(HTTPStatus.NOT_FOUND, "Nothing here", "This is not a sign-in."))
            return
        if not self._knows(fields.get("state", [""])[0]):
            self.server.arrivals.put(None)
            self._show(_Page(HTTPStatus.FORBIDDEN, "Not this sign-in", STRANGER))
            return
        if not self.server.is_first.acquire(blocking=False):
            text = "This sign-in has come back already. You may close this window."
            self._show(_Page(HTTPStatus.CONFLICT, "Once is enough", text))
            return
        arrival = Arrival(query)
        self.server.arrivals.put(arrival)
        try:
            page = arrival._page.result(ANSWER_WITHIN_S)  # noqa: SLF001 -- two ends of one thing
        except TimeoutError:
            page = _Page(HTTPStatus.GATEWAY_TIMEOUT, "No answer", "The command is gone.")
        self._show(page)
        arrival._is_sent.set()  # noqa: SLF001 -- as above

    def _is_sent_here(self) -> bool:
        """Say whether the browser was sent to this address, and not to a name that leads here."""
        try:
            return urlsplit(f"//{self.headers.get('Host', '')}").hostname in self.server.hosts
        except ValueError:
            return False

    def _knows(self, state: str) -> bool:
        expected = self.server.state
        return bool(expected) and hmac.compare_digest(state.encode(), expected.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- as inherited
        """Log nothing: the address holds the code."""

    def _show(self, page: _Page) -> None:
        title, text = escape(page.title), escape(page.text)
        body = (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            f"<style>{STYLE}</style></head><body><h1>{title}</h1><p>{text}</p></body></html>"
        ).encode()
        self.send_response_only(page.status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        for name, value in SECURITY_HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
