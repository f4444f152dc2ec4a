"""What can go wrong between us and Constant Contact, grouped by what to do next.

    ConstantContactError
    ├── worth repeating (retryable)
    │   ├── ApiUnreachable     no answer, or half of one: refused, dropped or timed out
    │   ├── ServerFault        5xx, or 408
    │   ├── Throttled          more than four requests in a second
    │   └── QueueFull          1,000 activities are waiting in the account
    ├── stop the run
    │   ├── QuotaExceeded      10,000 requests today; back at 00:00 UTC
    │   ├── NotAuthorised      the access token is refused, also after a refresh
    │   │   └── SignInExpired  the refresh token is refused: connect again
    │   ├── SignInUnavailable  the sign-in service gives no token, after repeats of its own
    │   │   └── SignInOutOfReach  where the sign-in is kept does not answer, after repeats too
    │   ├── SignInReplaced     somebody has connected again while the old token was renewed
    │   ├── SignInRefused      a person's sign-in came to nothing: denied, expired or not ours
    │   │   └── SignInAbandoned  nobody finished it in time
    │   ├── AccessDenied       403: privilege, scope or deactivated app, the gateway, or a proxy
    │   ├── WindowClosed       waiting longer would pass the end of the window
    │   ├── SendingStopped     who wanted a file to be sent does not any more
    │   └── InsecureAddress    tokens would travel in clear, or nowhere
    ├── this request is wrong
    │   ├── RequestRefused     any other 3xx or 4xx, with its status and error_key
    │   │   └── NotFound       404
    │   ├── BodyTooLarge       refused here: the service would drop what is over the limit
    │   └── ListNotFound       no such contact list
    └── the answer is of no use
        ├── MalformedAnswer    2xx without what it promises
        └── OutcomeUnknown     sent, no answer, and no way to look it up: running again does

Every error is picklable (Prefect moves them between processes) and holds ids and counts only:
never a body, a token, an e-mail address, nor the service's own words, which may quote a contact.
"""

from http import HTTPStatus
from typing import ClassVar, Self


class ConstantContactError(Exception):
    """Something went wrong between us and Constant Contact; the message says what to do next."""

    # Attributes beyond the message are keywords with defaults: that is what lets the inherited
    # pickling (class, args, __dict__) rebuild every subclass.
    retryable: ClassVar[bool] = False

    # What was the matter while it lasted, for a sentence about the past; empty where nothing lasts.
    trouble: ClassVar[str] = ""

    def __init__(
        self, message: str = "", *, status: int | None = None, error_key: str | None = None
    ) -> None:
        super().__init__(message or (type(self).__doc__ or "").partition("\n")[0])
        self.status = status
        self.error_key = error_key

    @property
    def brief(self) -> str:
        """Say in a few words what happened, for a line about a request that is repeated."""
        if self.status is not None and self.status >= HTTPStatus.BAD_REQUEST:
            return f"Constant Contact answered {self.status}"
        return self.trouble or type(self).__name__


class ApiUnreachable(ConstantContactError):
    """Constant Contact did not answer; check the network and run again."""

    retryable = True
    trouble = "Constant Contact did not answer"

    def __init__(
        self, message: str = "", *, status: int | None = None, may_have_arrived: bool = True
    ) -> None:
        super().__init__(message, status=status)  # of an answer that broke off after its headers
        self.may_have_arrived = may_have_arrived


class ServerFault(ConstantContactError):
    """Constant Contact has a problem of its own; run again later."""

    retryable = True
    trouble = "Constant Contact had a problem of its own"


class Throttled(ConstantContactError):
    """Too many requests a second under this API key; run again when other exports are done."""

    retryable = True
    trouble = "too many requests a second came in under this API key"


class QueueFull(ConstantContactError):
    """The account's queue of 1,000 activities is full; run again when some have finished."""

    retryable = True
    trouble = "the account's queue of 1,000 activities was full"


class QuotaExceeded(ConstantContactError):
    """Today's quota of requests is used up; it returns at 00:00 UTC, run again then."""


class NotAuthorised(ConstantContactError):
    """Constant Contact refuses this connection's access token; connect again."""


class SignInExpired(NotAuthorised):
    """This connection's sign-in has expired or was used elsewhere; connect again."""

    def __init__(
        self,
        message: str = "",
        *,
        status: int | None = None,
        error_key: str | None = None,
        is_answer_lost: bool = False,
    ) -> None:
        super().__init__(message, status=status, error_key=error_key)
        self.is_answer_lost = is_answer_lost  # the one that held the new sign-in, just before


class SignInUnavailable(ConstantContactError):
    """Constant Contact's sign-in service does not answer as it should; run again later."""

    trouble = "Constant Contact's sign-in service did not answer as it should"


class SignInOutOfReach(SignInUnavailable):
    """The place where this connection's sign-in is kept does not answer; run again later."""

    trouble = "the place where the sign-in is kept did not answer"


class SignInReplaced(ConstantContactError):
    """Somebody has connected again meanwhile; run again to use the new sign-in."""


class SignInRefused(ConstantContactError):
    """The sign-in was refused; sign in again, and allow the application access."""


class SignInAbandoned(SignInRefused):
    """Nobody finished signing in; run the command again, and sign in before its time is over."""


class AccessDenied(ConstantContactError):
    """Constant Contact denies access; sign in as an Account Owner or Account Manager."""


class WindowClosed(ConstantContactError):
    """The export's window has ended; run again to go on where it stopped."""

    @classmethod
    def during(cls, error: BaseException) -> Self:
        """Say what kept the export from going on when its window ended."""
        if not isinstance(error, ConstantContactError) or not error.trouble:
            return cls()
        return cls(
            f"The export's window has ended while {error.trouble}; run again to go on where it "
            "stopped."
        )


class SendingStopped(ConstantContactError):
    """The batch was not sent, as the run is to stop; its report says why."""


class InsecureAddress(ConstantContactError, ValueError):
    """Tokens must not travel in clear; use an https:// address."""


class RequestRefused(ConstantContactError):
    """Constant Contact refuses the request; check the export's settings."""


class NotFound(RequestRefused):
    """Constant Contact does not know what was asked for; check its id."""


class BodyTooLarge(ConstantContactError):
    """The batch is too large for one request; send fewer contacts in it."""

    def __init__(self, message: str = "", *, size_bytes: int = 0) -> None:
        super().__init__(message)
        self.size_bytes = size_bytes


class ListNotFound(ConstantContactError):
    """No such contact list; choose one of the account's lists."""

    def __init__(self, message: str = "", *, suggestions: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.suggestions = suggestions  # (list_id, name) of up to five lists that come near


class MalformedAnswer(ConstantContactError):
    """Constant Contact's answer cannot be read; check the API address, then run again."""

    trouble = "Constant Contact's answers could not be read"


class OutcomeUnknown(ConstantContactError):
    """Whether a batch was accepted could not be found out; run again: it is looked up first."""

    def __init__(
        self,
        message: str = "",
        *,
        status: int | None = None,
        error_key: str | None = None,
        lacks_quota: bool = False,
    ) -> None:
        super().__init__(message, status=status, error_key=error_key)
        self.lacks_quota = lacks_quota  # to find it out
