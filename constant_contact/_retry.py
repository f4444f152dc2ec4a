"""The one loop that repeats requests: bounded in attempts and in seconds, never past the window."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    wait_exponential,
    wait_random,
)

from constant_contact._errors import (
    ConstantContactError,
    MalformedAnswer,
    QueueFull,
    Throttled,
    WindowClosed,
)
from constant_contact._events import ApiEvent, EventKind

_log = logging.getLogger("segment_export.api")

T = TypeVar("T")
# Enough for 4 MB over a slow line; none but the renewal of a sign-in outlasts the window by more
# than the least.
_REQUEST_S = 180.0
_LEAST_REQUEST_S = 10.0

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]
Listener = Callable[[ApiEvent], None]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long the client keeps trying one request.

    Faults, and the time spent on them, count towards `attempts` and `total_s`. Being told to wait
    (throttled, queue full) is no fault: it is bounded by `waiting_total_s` only.
    """

    attempts: int = 6
    total_s: float = 180.0
    waiting_total_s: float = 3600.0
    first_wait_s: float = 0.5
    longest_wait_s: float = 20.0


class Retrier:
    """Repeat what may be repeated, and say so."""

    def __init__(
        self,
        *,
        clock: Clock,
        sleep: Sleep,
        deadline: float | None,
        on_event: Listener,
    ) -> None:
        self.clock = clock
        self.deadline = deadline
        self.sleep = sleep  # for what has to be finished, window or not
        self._on_event = on_event

    async def call(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        what: str,
        policy: RetryPolicy,
        may_repeat: Callable[[BaseException], bool],
    ) -> T:
        """Call `attempt` until it returns, or raises what may not or no longer be repeated.

        Raises:
            WindowClosed: the next pause would pass the deadline.
        """
        stop = _Stop(policy, clock=self.clock, deadline=self.deadline)
        retrying = AsyncRetrying(
            sleep=self.sleep,
            stop=stop,
            wait=_Wait(policy),
            retry=retry_if_exception(may_repeat),
            before_sleep=lambda state: self._announce(state, what),
            retry_error_callback=stop.give_up,
        )
        return await retrying(attempt)

    async def pause(self, wait_s: float) -> None:
        """Sleep.

        Raises:
            WindowClosed: it would pass the deadline.
        """
        self.require_open_window(wait_s)
        await self.sleep(wait_s)

    def require_open_window(self, ahead_s: float = 0.0) -> None:
        """Raise WindowClosed when the deadline is less than `ahead_s` away."""
        if self.deadline is not None and self.clock() + ahead_s >= self.deadline:
            raise WindowClosed

    def request_limit_s(self, *, may_outlast_window: bool = False) -> float:
        """Tell how long one exchange may take as a whole, however steadily its answer drips."""
        if self.deadline is None or may_outlast_window:
            return _REQUEST_S
        return min(_REQUEST_S, max(_LEAST_REQUEST_S, self.deadline - self.clock()))

    def announce(self, event: ApiEvent) -> None:
        """Log an event and hand it to the caller."""
        _log.info(
            "%s: %s %s (attempt %d, next in %.1f s)",
            event.what,
            event.kind,
            event.reason,
            event.attempt,
            event.wait_s,
        )
        self._on_event(event)

    def _announce(self, state: RetryCallState, what: str) -> None:
        error = _error_of(state)
        kind = EventKind.RETRY
        if isinstance(error, Throttled):
            kind = EventKind.THROTTLED
        elif isinstance(error, QueueFull):
            kind = EventKind.QUEUE_FULL
        self.announce(
            ApiEvent(
                kind=kind,
                what=what,
                reason=error.brief,
                attempt=state.attempt_number,
                wait_s=state.upcoming_sleep,
            )
        )


def may_read_again(error: BaseException) -> bool:
    """Tell whether a request that changes nothing may simply be repeated."""
    # An answer cut short, or a proxy's page in its place, passes like any other fault.
    return isinstance(error, ConstantContactError) and (
        error.retryable or isinstance(error, MalformedAnswer)
    )


class _Wait:
    """Exponential with jitter; at least a second when told to wait."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._after_fault = wait_exponential(
            multiplier=policy.first_wait_s, max=policy.longest_wait_s
        ) + wait_random(0, policy.first_wait_s)
        self._when_told = wait_exponential(multiplier=1, max=8) + wait_random(0, 1)

    def __call__(self, state: RetryCallState) -> float:
        chosen = self._when_told if _was_told_to_wait(state) else self._after_fault
        return float(chosen(state))


class _Stop:
    """Attempts, seconds and the window, whichever ends first; time is the caller's clock."""

    def __init__(self, policy: RetryPolicy, *, clock: Clock, deadline: float | None) -> None:
        self._policy = policy
        self._clock = clock
        self._deadline = deadline
        self._resumed = clock()
        self._faults = 0
        self._spent_s = {"faults": 0.0, "waiting": 0.0}

    def __call__(self, state: RetryCallState) -> bool:
        told = _was_told_to_wait(state)
        self._faults += not told
        resumes = self._clock() + state.upcoming_sleep
        limit_s = self._policy.waiting_total_s if told else self._policy.total_s
        # An attempt and the pause after it belong to what the attempt ended in.
        kind = "waiting" if told else "faults"
        self._spent_s[kind] += resumes - self._resumed
        self._resumed = resumes
        return (
            self._faults >= self._policy.attempts
            or self._spent_s[kind] > limit_s
            or self._passes_window(resumes)
        )

    def give_up(self, state: RetryCallState) -> object:
        """Raise what ended the loop."""
        error = _error_of(state)
        if self._faults < self._policy.attempts and self._passes_window(
            self._clock() + state.upcoming_sleep
        ):
            raise WindowClosed.during(error) from error
        raise error

    def _passes_window(self, resumes: float) -> bool:
        return self._deadline is not None and resumes >= self._deadline


def _error_of(state: RetryCallState) -> ConstantContactError:
    error = state.outcome.exception() if state.outcome else None
    if not isinstance(error, ConstantContactError):  # pragma: no cover - no other is repeated
        raise RuntimeError("asked about a failure that is not repeated")  # noqa: TRY004 -- a defect
    return error


def _was_told_to_wait(state: RetryCallState) -> bool:
    return isinstance(_error_of(state), Throttled | QueueFull)
