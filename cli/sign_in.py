"""Sign a person in: through the browser of this machine, or with a code on any other."""

import asyncio
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from cli.errors import CommandFailed, CommandRefused
from cli.redirect_listener import HERE, LOOPBACK, Arrival, RedirectListener
from constant_contact import (
    BrowserSignIn,
    ConstantContactError,
    Credentials,
    Granted,
    InsecureAddress,
    NotAuthorised,
    RateLimiter,
    SignInAbandoned,
    SignInRefused,
    SignInService,
    begin_browser_sign_in,
    check_page_address,
    read_redirect,
)

REDIRECT_PORT = 8976
REDIRECT_PATH = "/signed-in"
HTTP_PORT = 80
STRANGER = "A browser came back from a sign-in that was not begun here (its state differs)."

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SignInWay:
    """How a person signs in.

    `redirect_url` is the one registered for the application; empty: on this machine, at the port.
    """

    is_by_device: bool = False
    redirect_port: int | None = None
    redirect_url: str = ""
    opens_browser: bool = True
    minutes: float = 10.0

    @property
    def port(self) -> int:
        """Tell the port of this machine at which the browser comes back."""
        if self.redirect_port is not None:
            return self.redirect_port
        if self.redirect_url and self.is_on_this_machine:
            return urlsplit(self.redirect_url).port or HTTP_PORT
        return REDIRECT_PORT

    @property
    def url(self) -> str:
        """Tell where Constant Contact sends the browser back to."""
        return self.redirect_url or f"http://{LOOPBACK}:{self.port}{REDIRECT_PATH}"

    @property
    def is_on_this_machine(self) -> bool:
        """Say whether the browser comes back to this machine, as far as its address tells."""
        host = urlsplit(self.url).hostname or ""
        try:
            return host == "localhost" or ip_address(host).is_loopback
        except ValueError:
            return False

    @property
    def reaches_listener(self) -> bool:
        """Say whether what listens here can be reached at the address, if it is this machine's."""
        place = urlsplit(self.url)
        is_heard = place.scheme == "http" and place.hostname in HERE
        return is_heard or self.redirect_port is not None or not self.is_on_this_machine


@dataclass(frozen=True, slots=True)
class Application:
    """What a sign-in needs to know of the application, and the pace that it keeps."""

    credentials: Credentials
    auth_url: str
    limiter: RateLimiter | None = None


@contextmanager
def listening(way: SignInWay) -> Iterator[RedirectListener | None]:
    """Listen for the browser to come back, where it is to come back.

    Raises:
        CommandRefused: the port is taken, or the address cannot be one.
    """
    if way.is_by_device:
        yield None
        return
    try:
        check_page_address(way.url)
        if not way.reaches_listener:
            raise CommandRefused(
                f"The browser cannot come back to {way.url}: on this machine it is awaited at "
                "http://127.0.0.1 or http://localhost only. Register such an address, or tell with "
                "--redirect-port where yours is forwarded to."
            )
        listener = RedirectListener(way.port, way.url)
    except (InsecureAddress, ValueError, OverflowError) as error:
        raise CommandRefused(
            f"The browser cannot come back to {way.url}: give --redirect-url as it is registered "
            "for the application, https:// or on this machine."
        ) from error
    except OSError as error:
        raise CommandRefused(
            f"Port {way.port} of this machine, where the browser is to come back to, cannot be "
            f"used ({error.strerror}). End what uses it, register another address for the "
            "application and give its --redirect-port, or sign in with --device."
        ) from error
    with listener:
        yield listener


def sign_in(
    application: Application, way: SignInWay, listener: RedirectListener | None, say: Say
) -> Granted:
    """Have a person sign in and allow access.

    Raises:
        CommandRefused: it came to nothing; nothing was saved.
        CommandFailed: the sign-in service does not work.
    """
    try:
        if listener is None:
            return asyncio.run(_sign_in_by_device(application, way, say))
        return _sign_in_by_browser(application, way, listener, say)
    except (SignInRefused, NotAuthorised, InsecureAddress) as error:
        raise CommandRefused(f"{error} Nothing was saved.") from error
    except ConstantContactError as error:
        raise CommandFailed(f"{error} Nothing was saved.") from error


def _sign_in_by_browser(
    application: Application, way: SignInWay, listener: RedirectListener, say: Say
) -> Granted:
    begun = begin_browser_sign_in(application.credentials, way.url, auth_url=application.auth_url)
    listener.expect(begun.state.get_secret_value())
    is_open = way.opens_browser and open_browser(begun.url)
    lead = "Your browser shows it; if not, open" if is_open else "Open in a browser of this machine"
    say(f"Sign in to Constant Contact and allow access. {lead}:\n\n{begun.url}\n")
    strangers: list[str] = []

    def tell_stranger() -> None:
        if not strangers:
            say(f"{STRANGER} It was turned away; this goes on waiting.")
        strangers.append(STRANGER)

    arrival = listener.wait(way.minutes * 60, on_stranger=tell_stranger)
    if arrival is None:
        turned_away = f" {STRANGER}" if strangers else ""
        raise SignInAbandoned(
            f"Nobody came back from Constant Contact's page within {way.minutes:g} minutes: run "
            "the command again and finish signing in. If the page shows an error, check the API "
            f"key, and that the application has registered {way.url} as a redirect URI."
            f"{turned_away}"
        )
    try:
        granted = asyncio.run(_exchange(application, begun, arrival))
    except ConstantContactError as error:
        arrival.answer("Not signed in", str(error), is_good=False)
        raise
    arrival.answer(
        "Signed in",
        "You may close this window. The terminal tells whether the connection works.",
        is_good=True,
    )
    return granted


async def _exchange(application: Application, begun: BrowserSignIn, arrival: Arrival) -> Granted:
    code = read_redirect(begun, arrival.query)
    async with _open_service(application) as service:
        return await service.exchange_code(begun, code)


async def _sign_in_by_device(application: Application, way: SignInWay, say: Say) -> Granted:
    gives_up_at = time.time() + way.minutes * 60
    async with _open_service(application) as service:
        device = await service.start_device()
        complete = "" if device.complete_url == device.url else f" or {device.complete_url}"
        say(
            f"Sign in to Constant Contact and allow access, on any device:\n\n"
            f"{device.url}{complete}\n\nThe code is {device.user_code}\n"
        )
        return await service.wait_for_device(device, give_up_at=gives_up_at)


def _open_service(application: Application) -> SignInService:
    return SignInService(
        credentials=application.credentials,
        auth_url=application.auth_url,
        limiter=application.limiter,
    )


def open_browser(url: str) -> bool:
    """Open an address in a browser with a window of its own, if there is one."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    if type(browser) is webbrowser.GenericBrowser:
        return False  # one that would take over this terminal
    return browser.open(url)
