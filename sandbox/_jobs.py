"""Activities: jobs that are accepted at once and carried out in their own time.

What a job does, it does on the event loop in small steps and nowhere else, so that nothing else
ever sees it half done and no lock is needed. Jobs whose time has come are settled by a ticker, and
before every answer that could show their outcome.
"""

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sandbox._clock import Clock, show_time
from sandbox._errors import queue_full
from sandbox._faults import Fault
from sandbox._settings import SandboxSettings

FINISHED = frozenset({"completed", "cancelled", "failed", "timed_out"})
ALMOST_DONE_PERCENT = 99


class JobFailedError(Exception):
    """The job cannot be carried out; the message becomes the activity's error."""


@dataclass(slots=True, eq=False)
class Activity:
    """One job. Times are UTC seconds; `hidden_*` keep it out of the collection.

    `work` yields whenever others may have their turn, and fills in `counters` and `errors`.
    """

    number: int
    activity_id: str
    created_s: float
    starts_s: float
    ends_s: float
    counters: dict[str, int]
    work: Iterator[None] | None
    outcome: str = "completed"
    source_file_name: str | None = None
    errors: list[str] = field(default_factory=list)
    is_carried_out: bool = False
    hidden_reads: int = 0
    hidden_until_s: float = 0.0

    @property
    def href(self) -> str:
        """The activity's own address, relative to the host and with /v3 (case 32)."""
        return f"/v3/activities/{self.activity_id}"

    def state_at(self, now_s: float) -> str:
        """Return the activity's state at a moment."""
        if now_s < self.starts_s:
            return "initialized"
        if now_s < self.ends_s or not self.is_carried_out:
            return "processing"
        return self.outcome

    def show_accepted(self) -> dict[str, Any]:
        """Return the activity as the request that made it is answered (case 32)."""
        return self._show("initialized", self.created_s)

    def show(self, now_s: float) -> dict[str, Any]:
        """Return the activity as the API tells it at a moment."""
        return self._show(self.state_at(now_s), now_s)

    def _show(self, state: str, now_s: float) -> dict[str, Any]:
        shown: dict[str, Any] = {"activity_id": self.activity_id, "state": state}
        updated_s = self.created_s
        percent = 0
        if state != "initialized":
            shown["started_at"] = show_time(self.starts_s)
            updated_s = self.starts_s
            span_s = self.ends_s - self.starts_s
            done = (now_s - self.starts_s) / span_s if span_s > 0 else 1.0
            percent = min(ALMOST_DONE_PERCENT, int(100 * done))
        if state in FINISHED:
            shown["completed_at"] = show_time(self.ends_s)
            updated_s = self.ends_s
            percent = 100 if state == "completed" else percent
        shown["created_at"] = show_time(self.created_s)
        shown["updated_at"] = show_time(updated_s)
        if self.source_file_name is not None:
            shown["source_file_name"] = self.source_file_name
        shown["percent_done"] = percent
        shown["activity_errors"] = list(self.errors) if state in FINISHED else []
        blank = dict.fromkeys(self.counters, 0)
        shown["status"] = dict(self.counters) if state in FINISHED else blank
        shown["_links"] = {"self": {"href": self.href}}
        return shown


class ActivityLog:
    """The account's activities of the last ten days."""

    def __init__(self, settings: SandboxSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._activities: dict[str, Activity] = {}
        self._due: list[Activity] = []
        self._count = 0
        self._settling = asyncio.Lock()

    def check_queue(self) -> None:
        """Refuse when too many activities are unfinished (case 31)."""
        now_s = self._clock.utc_s()
        unfinished = sum(
            activity.state_at(now_s) not in FINISHED for activity in self._activities.values()
        )
        if unfinished >= self._settings.activity_queue:
            raise queue_full()

    def open(
        self,
        work: Iterator[None],
        counters: dict[str, int],
        errors: list[str],
        *,
        rows: int = 0,
        source_file_name: str | None = None,
        twists: tuple[Fault, ...] = (),
    ) -> Activity:
        """Accept a job and return its activity, changed as the scripted faults say."""
        now_s = self._clock.utc_s()
        settings = self._settings
        lasts_s = settings.processing_s + settings.processing_s_per_1000_rows * rows / 1000
        starts_s = now_s + settings.initialized_s
        self._count += 1
        activity = Activity(
            number=self._count,
            activity_id=str(uuid.uuid4()),
            created_s=now_s,
            starts_s=starts_s,
            ends_s=starts_s + lasts_s,
            counters=counters,
            work=work,
            errors=errors,
            source_file_name=source_file_name if settings.echo_file_name else None,
        )
        for twist in twists:
            _twist(activity, twist, now_s)
        self._activities[activity.activity_id] = activity
        self._due.append(activity)
        self._due.sort(key=lambda job: (job.ends_s, job.number))
        return activity

    def find(self, activity_id: str) -> Activity | None:
        """Return an activity that is not forgotten yet (case 73)."""
        self._forget_old()
        return self._activities.get(activity_id)

    def newest_first(self) -> list[Activity]:
        """Return all activities that are not forgotten yet."""
        self._forget_old()
        return list(reversed(self._activities.values()))

    def read_collection(self) -> list[Activity]:
        """Return, newest first, the activities that the collection shows at this reading."""
        now_s = self._clock.utc_s()
        shown = []
        for activity in self.newest_first():
            if activity.hidden_reads > 0:
                activity.hidden_reads -= 1
            elif now_s >= activity.hidden_until_s:
                shown.append(activity)
        return shown

    async def settle(self) -> None:
        """Carry out every job whose time has come, in order, letting others have their turns."""
        if not self._due or self._due[0].ends_s > self._clock.utc_s():
            return
        async with self._settling:
            now_s = self._clock.utc_s()
            while self._due and self._due[0].ends_s <= now_s:
                activity = self._due[0]
                for _ in _steps(activity):
                    await asyncio.sleep(0)
                self._due.remove(activity)

    async def keep_settling(self, every_s: float = 0.02) -> None:
        """Settle for ever, looking every so often in real time."""
        while True:
            await self.settle()
            await asyncio.sleep(every_s)

    def _forget_old(self) -> None:
        oldest_s = self._clock.utc_s() - self._settings.activity_retention_s
        for activity in list(self._activities.values()):
            if activity.created_s >= oldest_s:
                break
            del self._activities[activity.activity_id]


def _steps(activity: Activity) -> Iterator[None]:
    """Carry out one job, unless a script says that it does nothing."""
    work, activity.work = activity.work, None
    if activity.outcome == "completed" and work is not None:
        try:
            yield from work
        except JobFailedError as failure:
            activity.outcome = "failed"
            activity.errors.append(str(failure))
    activity.is_carried_out = True


def _twist(activity: Activity, twist: Fault, now_s: float) -> None:
    """Change a new activity as a scripted fault says."""
    match twist.kind:
        case "outcome":
            activity.outcome = twist.state
        case "hidden":
            activity.hidden_reads = twist.reads
            activity.hidden_until_s = now_s + twist.seconds
        case "unnamed":
            activity.source_file_name = None
        case "duration":
            activity.ends_s = activity.starts_s + twist.seconds
        case _:
            raise ValueError(f"{twist.kind} does not change an activity")
