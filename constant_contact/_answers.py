"""Turn what came back, or did not, into what it means."""

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx

from constant_contact._errors import (
    AccessDenied,
    ApiUnreachable,
    ConstantContactError,
    MalformedAnswer,
    NotAuthorised,
    NotFound,
    QueueFull,
    QuotaExceeded,
    RequestRefused,
    ServerFault,
    SignInExpired,
    Throttled,
)
from constant_contact._models import as_mapping, as_sequence, read_text

# Failures of httpx that come before the first byte of the request is sent.
_NOTHING_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)

# What the sign-in service says of a grant or an application that it does not accept (RFC 6749).
_SIGN_IN_KEYS = frozenset({"invalid_grant", "invalid_client", "unauthorized_client"})

_STATUS_ADVICE: dict[int, str] = {
    HTTPStatus.BAD_REQUEST: "check the list, the columns and the custom fields",
    HTTPStatus.NOT_FOUND: "check the id, it may have been deleted",
    HTTPStatus.CONFLICT: "it conflicts with something that exists already",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "it is too large, send fewer contacts in it",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "a file must be a .csv sent as multipart/form-data",
}


@dataclass(frozen=True, slots=True)
class Complaint:
    """What an error body says: its key, safe to show, and its words, which may quote a contact.

    `is_gateways` tells that the gateway in front of the API speaks, `is_json` that somebody does
    who may be Constant Contact: a page or nothing at all may come from anything on the way.
    """

    key: str | None
    words: str
    is_gateways: bool = False
    is_json: bool = True


def read_json(response: httpx.Response) -> Any:
    """Return the JSON of an answer.

    Raises:
        MalformedAnswer: it is not JSON.
    """
    try:
        return response.json()
    except (ValueError, RecursionError):
        raise MalformedAnswer(
            f"Constant Contact's answer {response.status_code} is not JSON; check the API "
            "address and any proxy, then run again.",
            status=response.status_code,
        ) from None


def error_from_response(
    response: httpx.Response, *, is_activity_post: bool = False, is_sign_in: bool = False
) -> ConstantContactError:
    """Turn an answer that is not 2xx into its error, whichever of the five envelopes it wears.

    `is_activity_post` tells that an unexplained 429 means the account's queue of 1,000 activities,
    `is_sign_in` that an unexplained 401 means the application and not its access token.
    """
    status, complaint = response.status_code, read_complaint(response)
    if response.is_server_error or status == HTTPStatus.REQUEST_TIMEOUT:
        return ServerFault(
            f"Constant Contact has a problem of its own (status {status}); run again later.",
            status=status,
            error_key=complaint.key,
        )
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return _limit_error(complaint, is_activity_post=is_activity_post)
    if status == HTTPStatus.UNAUTHORIZED or complaint.key in _SIGN_IN_KEYS:
        return _sign_in_error(status, complaint, is_sign_in=is_sign_in)
    if status == HTTPStatus.FORBIDDEN:
        return _denial(complaint)
    return _refusal(status, complaint)


def error_from_transport(error: Exception, *, status: int | None = None) -> ConstantContactError:
    """Turn a failure to exchange anything into its error; names its kind, never its address.

    `status` is that of an answer that broke off in its body.
    """
    kind = type(error).__name__
    if isinstance(error, httpx.DecodingError):
        return MalformedAnswer(
            f"Constant Contact's answer cannot be read ({kind}); run again.", status=status
        )
    if isinstance(error, _NOTHING_SENT):
        return ApiUnreachable(
            f"Constant Contact cannot be reached ({kind}); check the network and run again.",
            may_have_arrived=False,
        )
    return ApiUnreachable(
        f"Constant Contact did not answer ({kind}); check the network and run again.",
        status=status,
    )


def read_complaint(response: httpx.Response) -> Complaint:
    """Read any of the five error envelopes; HTML, nothing and nonsense say nothing."""
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        return Complaint(None, "", is_json=False)
    entries = as_sequence(answer)
    found = as_mapping(entries[0] if entries else answer)
    key = found.get("error_key", found.get("error"))
    words = found.get("error_message") or found.get("error_description") or found.get("message")
    # A key is an identifier such as contacts.api.not_found; anything else may quote a contact.
    is_identifier = isinstance(key, str) and re.fullmatch(r"[A-Za-z][\w.-]{0,99}", key, re.ASCII)
    return Complaint(
        key=key if is_identifier else None,
        words=(read_text(words) or "").lower(),
        is_gateways=set(found) == {"message"},
    )


def _limit_error(complaint: Complaint, *, is_activity_post: bool) -> ConstantContactError:
    # The gateway in front of the API may say the same without a key.
    if complaint.key == "quota_exceeded" or (
        not complaint.key and "limit exceeded" in complaint.words
    ):
        return QuotaExceeded(status=429, error_key=complaint.key)
    is_rate = complaint.key == "throttled" or (
        not complaint.key and "too many requests" in complaint.words
    )
    if is_activity_post and not is_rate:
        return QueueFull(status=429, error_key=complaint.key)
    return Throttled(status=429, error_key=complaint.key)


def _sign_in_error(status: int, complaint: Complaint, *, is_sign_in: bool) -> NotAuthorised:
    if complaint.key == "invalid_grant":
        return SignInExpired(status=status, error_key=complaint.key)
    message = ""
    if is_sign_in or complaint.key in _SIGN_IN_KEYS:
        message = (
            "Constant Contact refuses the API key or its secret; check both and connect again."
        )
    return NotAuthorised(message, status=status, error_key=complaint.key)


def _denial(complaint: Complaint) -> AccessDenied:
    if not complaint.is_json:
        return AccessDenied(
            "Access is denied (status 403) by an answer that does not look like Constant "
            "Contact's; check the connection's addresses, and any proxy or firewall on the way, "
            "then run again.",
            status=403,
        )
    if "privilege" in complaint.words:
        advice = (
            "the signed-in user lacks the privilege, sign in as an Account Owner or Account Manager"
        )
    elif complaint.is_gateways:
        advice = "the gateway turned the request away, check the API address and connect again"
    else:
        advice = (
            "the sign-in lacks the scopes contact_data and account_read, or the application is "
            "deactivated; check the application and connect again"
        )
    return AccessDenied(
        f"Constant Contact denies access: {advice}.", status=403, error_key=complaint.key
    )


def _refusal(status: int, complaint: Complaint) -> RequestRefused:
    named = f"status {status}" + (f", {complaint.key}" if complaint.key else "")
    if status < HTTPStatus.BAD_REQUEST:
        advice = "it points elsewhere, check the API address"
    else:
        advice = _STATUS_ADVICE.get(status, "check the export's settings")
    kind = NotFound if status == HTTPStatus.NOT_FOUND else RequestRefused
    return kind(
        f"Constant Contact refuses the request ({named}): {advice}.",
        status=status,
        error_key=complaint.key,
    )
