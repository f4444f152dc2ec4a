"""What the client lets its caller know while it works."""

from dataclasses import dataclass
from enum import StrEnum


class EventKind(StrEnum):
    """Why the client is not simply going on."""

    RETRY = "retry"
    THROTTLED = "throttled"
    QUEUE_FULL = "queue_full"
    REFRESH = "refresh"
    RECONCILE = "reconcile"


@dataclass(frozen=True, slots=True)
class ApiEvent:
    """One thing that a person watching a run may want to see; holds no secret, no contact.

    `what` names the request, `reason` says what happened, `wait_s` the pause that follows.
    """

    kind: EventKind
    what: str
    reason: str = ""
    attempt: int = 1
    wait_s: float = 0.0
