"""The five envelopes in which Constant Contact wraps an error, and who says what in which.

E1 a list of objects (the API), E2 one object (authorisation and limits), E3 a message (the
gateway), E4 OAuth's pair (the authorisation server), E5 HTML or nothing (whatever stands between).
The contract binds none of them to a status.
"""

from typing import Any, Literal

from sandbox._http import Answer

Envelope = Literal["array", "object", "gateway", "oauth", "html", "empty", "malformed"]


class RefusedError(Exception):
    """The request is answered with an error."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def wrap(envelope: Envelope, status: int, key: str, message: str) -> Answer:
    """Return an error in any of the envelopes."""
    pair = {"error_key": key, "error_message": message}
    page = f"<html><head><title>{status}</title></head><body><h1>{message}</h1></body></html>"
    contents: dict[Envelope, tuple[Any, str]] = {
        "array": ([pair], "application/json"),
        "object": (pair, "application/json"),
        "gateway": ({"message": message}, "application/json"),
        "oauth": ({"error": key, "error_description": message}, "application/json"),
        "html": (page, "text/html"),
        "empty": (None, "application/json"),
        "malformed": ('{"error_key": "', "application/json"),
    }
    content, media_type = contents[envelope]
    return Answer(status, content, media_type)


def invalid(message: str, status: int = 400) -> RefusedError:
    """Refuse a request that breaks a rule of the contract (E1, cases 47 to 50)."""
    return RefusedError(wrap("array", status, "contacts.api.validation.error", message))


def not_found(message: str) -> RefusedError:
    """Refuse a request for something that is not there (E1, case 74)."""
    return RefusedError(wrap("array", 404, "contacts.api.not_found", message))


def conflict(message: str) -> RefusedError:
    """Refuse to make what is there already (E1, case 80)."""
    return RefusedError(wrap("array", 409, "contacts.api.conflict", message))


def unsupported(message: str) -> RefusedError:
    """Refuse a body of the wrong type (E1, cases 61, 62 and 68)."""
    return RefusedError(wrap("array", 415, "contacts.api.unsupported_media_type", message))


def gateway_forbidden() -> RefusedError:
    """Refuse at the gateway: no token, or a path outside /v3 (E3, cases 23 and 25)."""
    return RefusedError(wrap("gateway", 403, "", "Forbidden"))


def unauthorized() -> RefusedError:
    """Refuse a token that is unknown or expired (E2, case 24)."""
    return RefusedError(wrap("object", 401, "unauthorized", "Unauthorized"))


def access_denied(message: str) -> RefusedError:
    """Refuse a token without the scope or privilege, or of a deactivated app (E2, 26 and 27)."""
    return RefusedError(wrap("object", 403, "access_denied", message))


def throttled() -> RefusedError:
    """Refuse the fifth call within a second (E2, case 28); no Retry-After is documented."""
    return RefusedError(wrap("object", 429, "throttled", "Too Many Requests"))


def quota_exceeded() -> RefusedError:
    """Refuse a call beyond the day's quota (E2, case 30)."""
    return RefusedError(wrap("object", 429, "quota_exceeded", "Limit Exceeded"))


def queue_full() -> RefusedError:
    """Refuse an activity when too many are unfinished (case 31; its body is undocumented)."""
    message = "You exceeded 1,000 queued activities for this user account."
    return RefusedError(wrap("array", 429, "contacts.api.too_many_activities", message))


def oauth_error(status: int, error: str, description: str) -> RefusedError:
    """Refuse a request to the authorisation server (E4)."""
    return RefusedError(wrap("oauth", status, error, description))
