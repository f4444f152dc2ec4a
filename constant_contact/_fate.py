"""What becomes of a refresh token that is sent: whether it may be spent, and its answer lost."""

from collections.abc import Generator
from contextlib import contextmanager

from constant_contact._errors import (
    AccessDenied,
    ApiUnreachable,
    ConstantContactError,
    MalformedAnswer,
    NotAuthorised,
    ServerFault,
    SignInExpired,
    Throttled,
)


class Fate:
    """What is known of a refresh token while it is sent, once or several times."""

    def __init__(self) -> None:
        self.may_be_spent = False
        self._is_answer_lost = False

    @contextmanager
    def followed(self) -> Generator[None, None, None]:
        """Learn from how one exchange ends.

        Raises:
            SignInExpired: saying so where an answer was lost that may have held the new one.
        """
        was_spent, self.may_be_spent = self.may_be_spent, True
        try:
            yield
        except SignInExpired as error:
            if not self._is_answer_lost:
                raise
            raise SignInExpired(
                "The answer that held this connection's new sign-in was lost, and the old one "
                "works only once; connect again.",
                status=error.status,
                error_key=error.error_key,
                is_answer_lost=True,
            ) from error
        except ConstantContactError as error:
            if _leaves_unspent(error):
                self.may_be_spent = was_spent
            elif isinstance(error, ApiUnreachable | ServerFault | MalformedAnswer):
                self._is_answer_lost = True
            raise


def _leaves_unspent(error: ConstantContactError) -> bool:
    """Say whether the refresh token that was to be sent is certainly as good as before."""
    if isinstance(error, ApiUnreachable):
        return not error.may_have_arrived
    return isinstance(error, AccessDenied | NotAuthorised | Throttled)
