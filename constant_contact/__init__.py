"""A client of the Constant Contact V3 API: requests, retries, rate, OAuth, activities."""

from constant_contact._addresses import API_URL, AUTH_URL
from constant_contact._client import ConstantContact
from constant_contact._credentials import Credentials, MemoryTokenStore, Tokens, TokenStore
from constant_contact._errors import (
    AccessDenied,
    ApiUnreachable,
    BodyTooLarge,
    ConstantContactError,
    InsecureAddress,
    ListNotFound,
    MalformedAnswer,
    NotAuthorised,
    NotFound,
    OutcomeUnknown,
    QueueFull,
    QuotaExceeded,
    RequestRefused,
    ServerFault,
    SignInAbandoned,
    SignInExpired,
    SignInRefused,
    SignInReplaced,
    SignInUnavailable,
    Throttled,
    WindowClosed,
)
from constant_contact._events import ApiEvent, EventKind
from constant_contact._http import Timeouts
from constant_contact._imports import REQUEST_LIMIT_BYTES, Patience, framing_bytes
from constant_contact._models import (
    Account,
    Activity,
    ActivityCounters,
    ActivityState,
    ContactList,
    CustomField,
    ImportReceipt,
)
from constant_contact._pacing import REQUEST_INTERVAL_S, TOKEN_INTERVAL_S, Pacer, RateLimiter
from constant_contact._polling import (
    ActivityReader,
    ActivityWatch,
    Trouble,
    wait_for_activities,
)
from constant_contact._quota import DAILY_REQUESTS, phrase_quota_return
from constant_contact._retry import RetryPolicy
from constant_contact._shared_pacing import MachinePacer
from constant_contact._sign_in import (
    SCOPES,
    BrowserSignIn,
    Granted,
    begin_browser_sign_in,
    check_page_address,
    read_redirect,
)
from constant_contact._sign_in_service import DeviceSignIn, SignInService

__all__ = [
    "API_URL",
    "AUTH_URL",
    "DAILY_REQUESTS",
    "REQUEST_INTERVAL_S",
    "REQUEST_LIMIT_BYTES",
    "SCOPES",
    "TOKEN_INTERVAL_S",
    "AccessDenied",
    "Account",
    "Activity",
    "ActivityCounters",
    "ActivityReader",
    "ActivityState",
    "ActivityWatch",
    "ApiEvent",
    "ApiUnreachable",
    "BodyTooLarge",
    "BrowserSignIn",
    "ConstantContact",
    "ConstantContactError",
    "ContactList",
    "Credentials",
    "CustomField",
    "DeviceSignIn",
    "EventKind",
    "Granted",
    "ImportReceipt",
    "InsecureAddress",
    "ListNotFound",
    "MachinePacer",
    "MalformedAnswer",
    "MemoryTokenStore",
    "NotAuthorised",
    "NotFound",
    "OutcomeUnknown",
    "Pacer",
    "Patience",
    "QueueFull",
    "QuotaExceeded",
    "RateLimiter",
    "RequestRefused",
    "RetryPolicy",
    "ServerFault",
    "SignInAbandoned",
    "SignInExpired",
    "SignInRefused",
    "SignInReplaced",
    "SignInService",
    "SignInUnavailable",
    "Throttled",
    "Timeouts",
    "TokenStore",
    "Tokens",
    "Trouble",
    "WindowClosed",
    "begin_browser_sign_in",
    "check_page_address",
    "framing_bytes",
    "phrase_quota_return",
    "read_redirect",
    "wait_for_activities",
]
