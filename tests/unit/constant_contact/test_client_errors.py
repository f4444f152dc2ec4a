"""Every hard answer becomes the error that says what to do next."""

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import constant_contact
from constant_contact import ConstantContactError
from constant_contact._answers import error_from_response, error_from_transport

ERRORS = [
    value
    for value in vars(constant_contact).values()
    if inspect.isclass(value) and issubclass(value, ConstantContactError)
]

E1 = [{"error_key": "contacts.api.validation.error", "error_message": "ann@example.com is bad"}]
E2 = {"error_key": "some.key", "error_message": "ann@example.com"}
E3 = {"message": "Forbidden"}
E4 = {"error": "some_error", "error_description": "ann@example.com"}
HTML = "<html><body>ann@example.com</body></html>"

EXPECTED_BY_STATUS = {
    302: "RequestRefused",
    400: "RequestRefused",
    401: "NotAuthorised",
    403: "AccessDenied",
    404: "NotFound",
    408: "ServerFault",
    409: "RequestRefused",
    413: "RequestRefused",
    415: "RequestRefused",
    418: "RequestRefused",
    429: "Throttled",
    500: "ServerFault",
    502: "ServerFault",
    503: "ServerFault",
}


def response(status: int, body: Any) -> httpx.Response:
    if isinstance(body, str):
        return httpx.Response(status, text=body)
    return httpx.Response(status, json=body)


@pytest.mark.parametrize("body", [E1, E2, E3, E4, HTML, "", [], [[]], 7, None, {"error_key": 5}])
@pytest.mark.parametrize(("status", "name"), EXPECTED_BY_STATUS.items())
def test_a_status_has_its_error_whatever_envelope_it_wears(
    status: int, name: str, body: Any
) -> None:
    error = error_from_response(response(status, body))
    assert type(error).__name__ == name
    assert error.status == status
    assert "@" not in f"{error} {error.error_key} {vars(error)}"


@pytest.mark.parametrize(
    ("status", "body", "name"),
    [
        (429, {"error_key": "throttled", "error_message": "Too Many Requests"}, "Throttled"),
        (429, [{"error_key": "throttled"}], "Throttled"),
        (429, {"message": "Too Many Requests"}, "Throttled"),
        (429, {"error_key": "quota_exceeded", "error_message": "Limit Exceeded"}, "QuotaExceeded"),
        (429, {"message": "Limit Exceeded"}, "QuotaExceeded"),
        (429, {"error_key": "other"}, "QueueFull"),
        (429, "", "QueueFull"),
        (429, HTML, "QueueFull"),
        (400, {"error": "invalid_grant"}, "SignInExpired"),
        (401, {"error": "invalid_grant"}, "SignInExpired"),
        (400, {"error": "invalid_client"}, "NotAuthorised"),
        (500, {"error": "invalid_grant"}, "ServerFault"),
    ],
)
def test_an_activity_post_is_understood_by_the_key(status: int, body: Any, name: str) -> None:
    error = error_from_response(response(status, body), is_activity_post=True)
    assert type(error).__name__ == name


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {
                "error_key": "access_denied",
                "error_message": "Request forbidden due to insufficient user privileges.",
            },
            "Account Owner",
        ),
        (E3, "gateway"),
        ({"error_key": "access_denied"}, "scopes"),
        ([], "scopes"),
        (HTML, "proxy or firewall"),
        ("", "proxy or firewall"),
    ],
)
def test_a_403_says_which_of_its_meanings_it_has(body: Any, words: str) -> None:
    assert words in str(error_from_response(response(403, body)))


@pytest.mark.parametrize("body", [HTML, ""])
def test_a_403_that_nobody_explains_sends_nobody_to_connect_again(body: str) -> None:
    assert "connect again" not in str(error_from_response(response(403, body)))


def test_a_key_that_is_no_identifier_is_not_kept() -> None:
    error = error_from_response(response(400, {"error_key": "ann@example.com"}))
    assert error.error_key is None


def test_the_quota_says_when_it_returns() -> None:
    assert "00:00 UTC" in str(error_from_response(response(429, {"error_key": "quota_exceeded"})))


@pytest.mark.parametrize(
    ("failure", "may_have_arrived"),
    [
        (httpx.ConnectError, False),
        (httpx.ConnectTimeout, False),
        (httpx.PoolTimeout, False),
        (httpx.WriteError, True),
        (httpx.WriteTimeout, True),
        (httpx.ReadError, True),
        (httpx.ReadTimeout, True),
        (httpx.RemoteProtocolError, True),
    ],
)
def test_a_failed_exchange_says_whether_it_may_have_arrived(
    failure: type[httpx.TransportError], may_have_arrived: bool
) -> None:
    error = error_from_transport(failure("https://secret"))
    assert isinstance(error, constant_contact.ApiUnreachable)
    assert error.may_have_arrived is may_have_arrived
    assert "secret" not in str(error)


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("clone", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy])  # noqa: S301 - our own bytes
def test_every_error_survives_the_way_to_another_process(
    kind: type[ConstantContactError], clone: Callable[[Any], Any]
) -> None:
    error = kind("for a person")
    error.status = 418
    copied = clone(error)
    assert type(copied) is kind
    assert str(copied) == "for a person"
    assert vars(copied) == vars(error)


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_says_to_a_person_what_to_do_next(kind: type[ConstantContactError]) -> None:
    message = str(kind())
    assert message.endswith(".")
    assert len(message) > 30
    if kind is not ConstantContactError:
        assert any(mark in message for mark in (";", ","))


def test_the_tree_at_the_top_names_every_error_and_what_is_retryable() -> None:
    from constant_contact import _errors  # noqa: PLC0415 - the module's own text is the subject

    tree = _errors.__doc__ or ""
    retryable = tree.partition("stop the run")[0]
    for kind in ERRORS:
        assert kind.__name__ in tree
        assert kind.retryable == (kind.__name__ in retryable and kind is not ConstantContactError)


def test_all_names_what_the_package_offers() -> None:
    offered = {
        name
        for name, value in vars(constant_contact).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert offered == set(constant_contact.__all__)
    assert sorted(constant_contact.__all__) == sorted(set(constant_contact.__all__))
