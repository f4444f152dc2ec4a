"""How the client speaks HTTP: time-outs, no redirects, no proxy on the way to this machine."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import httpx

from constant_contact._addresses import is_loopback

# Polls pause for up to 30 s: a new handshake would bring each of them late, out of the even spacing
# in which the service is promised to see requests arrive.
_KEEPALIVE_S = 90.0


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long one step of one request may take."""

    connect_s: float = 10.0
    read_s: float = 60.0
    write_s: float = 60.0
    # As long as a whole exchange may take: what is accepted after we hung up would go twice.
    upload_read_s: float = 180.0

    def of(self, *, is_upload: bool) -> httpx.Timeout:
        """Give them to one request."""
        read_s = self.upload_read_s if is_upload else self.read_s
        return httpx.Timeout(connect=self.connect_s, read=read_s, write=self.write_s, pool=None)


def open_http(
    base: httpx.URL,
    *,
    timeouts: Timeouts | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> httpx.AsyncClient:
    """Make a client for the service at an address."""
    timeouts = timeouts or Timeouts()
    return httpx.AsyncClient(
        transport=transport,
        timeout=timeouts.of(is_upload=False),
        limits=httpx.Limits(
            max_connections=8, max_keepalive_connections=8, keepalive_expiry=_KEEPALIVE_S
        ),
        follow_redirects=False,  # a token goes nowhere but where it was meant to
        trust_env=not is_loopback(base),  # a company's proxy cannot reach this machine
        headers={"User-Agent": f"segment-export/{_version()}"},
    )


def _version() -> str:
    try:
        return version("segment-export")
    except PackageNotFoundError:
        return "0"
