"""Sign a person in: through the browser of this machine, or with a code on any other."""

import asyncio
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from cli.errors import CommandFailed, CommandRefused
from cli.redirect_listener import Arrival, RedirectListener
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
        place = urlsplit(self.redirect_url)
        is_here = place.hostname in {"127.0.0.1", "localhost"}
        return (place.port if is_here else None) or REDIRECT_PORT

    @property
    def url(self) -> str:
        """Tell where Constant Contact sends the browser back to."""
        return self.redirect_url or f"http://127.0.0.1:{self.port}{REDIRECT_PATH}"


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
        listener = RedirectListener(way.port, urlsplit(way.url).path)
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
    is_open = way.opens_browser and open_browser(begun.url)
    lead = "Your browser shows it; if not, open" if is_open else "Open in a browser of this machine"
    say(f"Sign in to Constant Contact and allow access. {lead}:\n\n{begun.url}\n")
    arrival = listener.wait(way.minutes * 60)
    if arrival is None:
        raise SignInAbandoned(
            f"Nobody came back from Constant Contact's page within {way.minutes:g} minutes: run "
            "the command again and finish signing in. If the page shows an error, check the API "
            f"key, and that the application has registered {way.url} as a redirect URI."
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
