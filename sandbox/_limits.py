"""How many requests an API key may make: so many a second, so many a day."""

from collections import defaultdict, deque
from dataclasses import dataclass, field

DAY_S = 86_400


@dataclass(slots=True)
class SlidingWindow:
    """At most `most` arrivals in any `window_s` seconds; what is refused leaves no trace.

    Whether refused calls count is undocumented. Here they do not: a client that keeps knocking
    is let in as soon as the window has room.
    """

    most: int
    window_s: float = 1.0
    _admitted_s: deque[float] = field(default_factory=deque)

    def admits(self, arrived_s: float) -> bool:
        """Say whether an arrival is let in, and remember it if it is."""
        while self._admitted_s and arrived_s - self._admitted_s[0] >= self.window_s:
            self._admitted_s.popleft()
        if len(self._admitted_s) >= self.most:
            return False
        self._admitted_s.append(arrived_s)
        return True


@dataclass(slots=True)
class DailyQuota:
    """At most `most` requests a UTC day (reset at 00:00:00 UTC); what is refused is not counted."""

    most: int
    _day: int = -1
    _spent: int = 0

    def has_room(self, utc_s: float) -> bool:
        """Say whether the day has requests left."""
        day = int(utc_s // DAY_S)
        if day != self._day:
            self._day, self._spent = day, 0
        return self._spent < self.most

    def spend(self) -> None:
        """Count one request."""
        self._spent += 1


class Limits:
    """The limits of every API key: all tokens of an application share them (case 29)."""

    def __init__(self, *, per_second: int, per_day: int, tokens_per_second: int) -> None:
        self._windows = defaultdict[str, SlidingWindow](lambda: SlidingWindow(per_second))
        self._quotas = defaultdict[str, DailyQuota](lambda: DailyQuota(per_day))
        self._token_windows = defaultdict[str, SlidingWindow](
            lambda: SlidingWindow(tokens_per_second)
        )

    def refusal(self, client_id: str, *, arrived_s: float, utc_s: float) -> str | None:
        """Admit an API request, or return why not: `quota_exceeded` or `throttled`."""
        quota = self._quotas[client_id]
        if not quota.has_room(utc_s):
            return "quota_exceeded"
        if not self._windows[client_id].admits(arrived_s):
            return "throttled"
        quota.spend()
        return None

    def admits_token_request(self, client_id: str, *, arrived_s: float) -> bool:
        """Say whether a request to the token endpoint is let in (case 21)."""
        return self._token_windows[client_id].admits(arrived_s)
