"""How a person signs in: where the browser comes back to, and when one is opened at all."""

import webbrowser

import pytest

from cli.errors import CommandRefused
from cli.sign_in import SignInWay, listening, open_browser


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
