"""Which addresses a token may travel to."""

import ipaddress
from urllib.parse import quote

import httpx

from constant_contact._errors import InsecureAddress, MalformedAnswer

API_URL = "https://api.cc.email/v3"
AUTH_URL = "https://authz.constantcontact.com/oauth2/default/v1"


_PORTS = range(1, 65_536)


def parse_base_url(address: str, *, name: str = "API address") -> httpx.URL:
    """Read the address of an API, without a trailing slash; `name` is what a person calls it.

    Raises:
        InsecureAddress: it cannot be read, is neither https:// nor http:// on this very machine,
            or carries credentials, a query or a fragment.
    """
    url = read_url(address.strip().rstrip("/?#"))
    if url is None:
        raise InsecureAddress(f"The {name} cannot be read; give one like https://…")
    if not url.host or url.userinfo or url.query or url.fragment:
        raise InsecureAddress(f"The {name} must be a plain one, without user, query or fragment.")
    if url.port is not None and url.port not in _PORTS:
        raise InsecureAddress(
            f"The {name} names port {url.port}; a port is a number from 1 to {_PORTS[-1]}."
        )
    if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url)):
        raise InsecureAddress(
            f"Tokens must not travel in clear to {url.host}; use an https:// address."
        )
    return url


def read_url(address: str) -> httpx.URL | None:
    """Read an address; None for one that is none."""
    try:
        url = httpx.URL(address)
        _ = url.host  # decoded when it is asked for: it may be a name that cannot be
    except (httpx.InvalidURL, ValueError):  # of idna, too
        return None
    return url


def is_loopback(url: httpx.URL) -> bool:
    """Tell whether an address is on this very machine."""
    if url.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(url.host).is_loopback
    except ValueError:
        return False


def encode_segment(text: str) -> str:
    """Write any text as one step of a path: it can lead nowhere else."""
    encoded = quote(text, safe="", errors="replace")
    return encoded if encoded.strip(".") else encoded.replace(".", "%2E")


def resolve_next(base: httpx.URL, href: str) -> httpx.URL:
    """Join a `_links.next.href` to the API's origin, as it is.

    The href is relative to the origin and holds the API's path already (/v3/…).

    Raises:
        MalformedAnswer: it leads out of the API, where a token must not follow.
    """
    origin = f"{base.scheme}://{base.netloc.decode('ascii')}"
    path = href.removeprefix(origin)
    leads_inside = path.startswith(f"{base.path.rstrip('/')}/")
    # Dots, backslashes and control characters are how a path that begins well ends elsewhere.
    plain = path.isascii() and path.isprintable() and "\\" not in path and " " not in path
    steps = path.partition("?")[0].lower().replace("%2e", ".").replace("%2f", "/").split("/")
    if not (leads_inside and plain) or ".." in steps or "." in steps:
        raise MalformedAnswer(
            "The link to the next page leads out of the API; check the API address, then run again."
        )
    try:
        return httpx.URL(origin + path)
    except httpx.InvalidURL:
        raise MalformedAnswer(
            "The link to the next page cannot be read; check the API address, then run again."
        ) from None
