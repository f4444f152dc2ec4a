"""What waits for the browser to come back: one request ends it, and everything else is harmless."""

import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from cli.redirect_listener import RedirectListener

PATH = "/signed-in"


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        found: int = free.getsockname()[1]
        return found


@pytest.fixture
def listener(port: int) -> Iterator[RedirectListener]:
    with RedirectListener(port, f"http://127.0.0.1:{port}{PATH}") as listener:
        listener.expect("s1")
        yield listener


def come_back(
    port: int, target: str = f"{PATH}?code=c1&state=s1", host: str = ""
) -> httpx.Response:
    headers = {"Host": host} if host else {}
    return httpx.get(f"http://127.0.0.1:{port}{target}", timeout=60, headers=headers)


def test_browser_is_handed_on_and_told_how_it_went(listener: RedirectListener, port: int) -> None:
    with ThreadPoolExecutor(1) as executor:
        browser = executor.submit(come_back, port)
        arrival = listener.wait(60)
        assert arrival is not None
        assert arrival.query == "code=c1&state=s1"
        assert "c1" not in repr(arrival)
        arrival.answer("Signed in", "Close <this> & go.", is_good=True)
        page = browser.result()
    assert page.status_code == 200
    assert "<h1>Signed in</h1><p>Close &lt;this&gt; &amp; go.</p>" in page.text
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"


def test_second_browser_changes_nothing(listener: RedirectListener, port: int) -> None:
    with ThreadPoolExecutor(1) as executor:
        browser = executor.submit(come_back, port)
        arrival = listener.wait(60)
        assert arrival is not None
        assert come_back(port).status_code == 409
        arrival.answer("Not signed in", "No.", is_good=False)
        assert browser.result().status_code == 403
    assert listener.wait(0) is None


@pytest.mark.parametrize("target", ["/", "/favicon.ico", PATH, f"{PATH}?x=1", "/other?state=s1"])
def test_anything_else_is_not_taken_for_it(
    listener: RedirectListener, port: int, target: str
) -> None:
    assert come_back(port, target).status_code == 404
    assert listener.wait(0) is None


@pytest.mark.parametrize(
    "query", ["code=c&state=other", "error=access_denied", "code=c", "error=x&state=", "state=é"]
)
def test_browser_of_another_sign_in_is_turned_away_and_ends_nothing(
    listener: RedirectListener, port: int, query: str
) -> None:
    told: list[str] = []
    page = come_back(port, f"{PATH}?{query}")
    assert (page.status_code, "its state differs" in page.text) == (403, True)
    assert listener.wait(0, on_stranger=lambda: told.append(query)) is None
    assert told == [query]
    with ThreadPoolExecutor(1) as executor:
        browser = executor.submit(come_back, port)
        arrival = listener.wait(60)
        assert arrival is not None
        arrival.answer("Signed in", "Done.", is_good=True)
        assert browser.result().status_code == 200


@pytest.mark.parametrize("host", ["evil.example:8976", "127.0.0.1.evil.example", "[", "::1"])
def test_page_under_another_name_reaches_nothing(
    listener: RedirectListener, port: int, host: str
) -> None:
    assert come_back(port, host=host).status_code == 404
    assert listener.wait(0) is None


def test_browser_that_comes_back_before_anybody_signs_in_is_turned_away(port: int) -> None:
    with RedirectListener(port, f"http://localhost:{port}{PATH}"):
        assert come_back(port, f"{PATH}?error=x&state=").status_code == 403


@pytest.mark.usefixtures("listener")
def test_idle_connection_keeps_nobody_waiting(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)):
        assert come_back(port, "/").status_code == 404


def test_nothing_of_a_request_is_logged(
    listener: RedirectListener, port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    come_back(port, "/?code=c1-secret")
    assert listener.wait(0) is None
    assert not re.search("secret", "".join(capfd.readouterr()))


def test_port_that_is_taken_is_an_error(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)), pytest.raises(OSError, match="in use"):
        RedirectListener(port, f"http://127.0.0.1:{port}{PATH}")


def test_port_is_free_again_afterwards(port: int) -> None:
    for _ in range(2):
        with RedirectListener(port, f"http://127.0.0.1:{port}{PATH}"):
            assert come_back(port, "/").status_code == 404
