"""How a person signs in: where the browser comes back to, and when one is opened at all."""

import socket
import webbrowser

import httpx
import pytest

from cli.errors import CommandRefused
from cli.sign_in import Application, SignInWay, listening, open_browser, sign_in
from constant_contact import AUTH_URL, Credentials


@pytest.mark.parametrize(
    ("way", "port", "url"),
    [
        (SignInWay(), 8976, "http://127.0.0.1:8976/signed-in"),
        (SignInWay(redirect_port=9000), 9000, "http://127.0.0.1:9000/signed-in"),
        (
            SignInWay(redirect_url="http://localhost:9001/back"),
            9001,
            "http://localhost:9001/back",
        ),
        (SignInWay(redirect_url="http://127.0.0.1/back"), 80, "http://127.0.0.1/back"),
        (
            SignInWay(redirect_url="https://sign-in.example.com/back"),
            8976,
            "https://sign-in.example.com/back",
        ),
        (
            SignInWay(redirect_url="https://example.com:444/back", redirect_port=9002),
            9002,
            "https://example.com:444/back",
        ),
    ],
)
def test_browser_comes_back_to_where_it_is_registered(way: SignInWay, port: int, url: str) -> None:
    assert (way.port, way.url) == (port, url)


@pytest.mark.parametrize(
    "url", ["http://example.com/back", "nonsense", "https://example.com/#x", "http://localhost:x/"]
)
def test_address_that_is_not_safe_is_refused(url: str) -> None:
    with (
        pytest.raises(CommandRefused, match="--redirect-url"),
        listening(SignInWay(redirect_url=url)),
    ):
        pass


@pytest.mark.parametrize(
    "url", ["http://[::1]:9000/cb", "http://127.0.0.2:9000/cb", "https://localhost:9000/cb"]
)
def test_address_of_this_machine_at_which_nobody_listens_is_refused(url: str) -> None:
    with (
        pytest.raises(CommandRefused, match="http://localhost only"),
        listening(SignInWay(redirect_url=url)),
    ):
        pass
    assert SignInWay(redirect_url=url, redirect_port=9001).reaches_listener, "it is forwarded"


def test_browser_of_another_sign_in_is_told_of_when_nobody_else_comes() -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as free:
        way = SignInWay(redirect_port=free.getsockname()[1], opens_browser=False, minutes=0)
    application = Application(Credentials("key", None), AUTH_URL)
    with listening(way) as listener:
        for _ in range(2):
            assert httpx.get(f"{way.url}?code=c&state=another", timeout=60).status_code == 403
        with pytest.raises(CommandRefused, match=r"Nobody came back .* \(its state differs\)\."):
            sign_in(application, way, listener, said.append)
    assert len([line for line in said if "It was turned away; this goes on waiting." in line]) == 1


def test_device_listens_to_nothing() -> None:
    with listening(SignInWay(is_by_device=True, redirect_url="nonsense")) as listener:
        assert listener is None


@pytest.mark.parametrize("browser", ["true", "", "lynx-is-not-here"])
def test_browser_that_would_take_over_the_terminal_is_not_opened(
    monkeypatch: pytest.MonkeyPatch, browser: str
) -> None:
    monkeypatch.setenv("BROWSER", browser)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(webbrowser, "_tryorder", None)
    monkeypatch.setattr(webbrowser, "_browsers", {})
    assert not open_browser("https://example.com")
