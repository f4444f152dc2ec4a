"""Watch activities until they are done or the window ends: one request for all of them."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from constant_contact._errors import (
    ConstantContactError,
    MalformedAnswer,
    NotFound,
    SignInUnavailable,
    WindowClosed,
)
from constant_contact._models import Activity, ActivityState

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_PAUSE_GROWTH = 1.5
_NAP_S = 1.0

# Not worth repeating at once, but gone by the next round perhaps.
_PASSING = (MalformedAnswer, SignInUnavailable)

# After this many rounds without a sight of it in the collection, an activity is asked for by its
# id too; after as many answers of "not found" in a row, it is taken as gone.
_PATIENCE_ROUNDS = 5


class ActivityReader(Protocol):
    """What watching needs of the client."""

    def iter_activities(
        self, state: ActivityState | None = None, *, attempts: int | None = None
    ) -> AsyncGenerator[Activity, None]:
        """Yield the activities of the last ten days; each page may fail `attempts` times."""
        ...

    async def get_activity(self, activity_id: str) -> Activity:
        """Return one activity."""
        ...


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why activities cannot be read: the last error, and since when there was nothing else.

    `since` is in the seconds of the watch's clock.
    """

    error: ConstantContactError
    since: float

    def describe(self, now: float) -> str:
        """Say in one sentence what has been the matter and for how long, in epoch seconds."""
        minutes = round((now - self.since) / 60)
        lasted = "1 minute" if minutes == 1 else f"{minutes} minutes"
        return (
            f"From {datetime.fromtimestamp(self.since, UTC):%H:%M} UTC on, for "
            f"{lasted if minutes else 'less than a minute'}, {self.error.trouble}."
        )


class ActivityWatch:
    """Watch activities, also ones that are added while it runs.

    `known` holds what was seen last of each, also after an error. `deadline` is in the seconds
    of `clock` (epoch seconds unless told otherwise). `on_change` hears of every activity whose
    state or percentage has changed; `on_gone` of the id of every activity that is not found any
    more and so not waited for, once; `on_trouble` of every round that fails, and of None when
    one succeeds after that. `trouble` is what it heard last.
    """

    def __init__(
        self,
        client: ActivityReader,
        *,
        deadline: float,
        on_change: Callable[[Activity], None] | None = None,
        on_gone: Callable[[str], None] | None = None,
        on_trouble: Callable[[Trouble | None], None] | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.known: dict[str, Activity] = {}
        self.trouble: Trouble | None = None
        self._client = client
        self._deadline = deadline
        self._clock = clock
        self._on_change = on_change or (lambda _: None)
        self._on_gone = on_gone or (lambda _: None)
        self._on_trouble = on_trouble or (lambda _: None)
        self._sleep = sleep
        self._is_closed = False
        self._is_hurried = False
        self._rounds_unseen: dict[str, int] = {}
        self._gone: set[str] = set()

    def add(self, activity: Activity | str) -> None:
        """Watch one more activity, given as it was seen last or by its id."""
        if isinstance(activity, str):
            activity = Activity(activity)
        self.known.setdefault(activity.activity_id, activity)

    def close(self) -> None:
        """Say that no more will be added: `run` then returns when all are done."""
        self._is_closed = True
        self._is_hurried = True

    @property
    def unfinished(self) -> frozenset[str]:
        """Name the activities that may still change."""
        return frozenset(
            activity_id
            for activity_id, activity in self.known.items()
            if not activity.state.is_finished and activity_id not in self._gone
        )

    async def run(self) -> dict[str, Activity]:
        """Return what is known when all are done and no more will be added, or at the deadline.

        Passing faults do not end it; what stops the run (quota, sign-in) is raised.
        """
        pause_s = _FIRST_PAUSE_S
        while self.unfinished or not self._is_closed:
            self._is_hurried = False
            if self.unfinished:
                before = len(self.unfinished)
                try:
                    await self._look_over_faults()
                except WindowClosed:
                    # No time to repeat a request any more; what is left ends in a last look.
                    pause_s = self._deadline - self._clock()
                if len(self.unfinished) < before:
                    pause_s = _FIRST_PAUSE_S
            remaining_s = self._deadline - self._clock()
            if remaining_s <= 0 or (self._is_closed and not self.unfinished):
                break
            await self._rest(min(pause_s, remaining_s))
            pause_s = min(pause_s * _PAUSE_GROWTH, _LONGEST_PAUSE_S)
            if self._is_hurried:
                pause_s = _FIRST_PAUSE_S
        return dict(self.known)

    async def _look_over_faults(self) -> None:
        began = self._clock()
        try:
            await self._look()
        except WindowClosed as error:
            if isinstance(error.__cause__, ConstantContactError):
                self._note_trouble(error.__cause__, began)
            raise
        except ConstantContactError as error:
            if not (error.retryable or isinstance(error, _PASSING)):
                raise
            self._note_trouble(error, began)
        else:
            if self.trouble:
                self.trouble = None
                self._on_trouble(None)

    def _note_trouble(self, error: ConstantContactError, began: float) -> None:
        self.trouble = Trouble(error, self.trouble.since if self.trouble else began)
        self._on_trouble(self.trouble)

    async def _look(self) -> None:
        unseen = set(self.unfinished)
        # While it lasts, the rounds themselves are the repeats.
        attempts = 1 if self.trouble else None
        async with aclosing(self._client.iter_activities(attempts=attempts)) as activities:
            async for activity in activities:
                if activity.activity_id in unseen:
                    unseen.discard(activity.activity_id)
                    self._rounds_unseen[activity.activity_id] = 0
                    self._note(activity)
                if not unseen:
                    break
        for activity_id in sorted(unseen):
            rounds = self._rounds_unseen.get(activity_id, 0)
            if rounds >= _PATIENCE_ROUNDS:
                await self._ask_for(activity_id)
            else:
                self._rounds_unseen[activity_id] = rounds + 1

    async def _ask_for(self, activity_id: str) -> None:
        try:
            self._note(await self._client.get_activity(activity_id))
        except NotFound:
            self._rounds_unseen[activity_id] += 1
            if self._rounds_unseen[activity_id] >= 2 * _PATIENCE_ROUNDS:
                self._gone.add(activity_id)
                self._on_gone(activity_id)
        else:
            self._rounds_unseen[activity_id] = _PATIENCE_ROUNDS

    def _note(self, activity: Activity) -> None:
        before = self.known[activity.activity_id]
        self.known[activity.activity_id] = activity
        if (activity.state, activity.percent_done) != (before.state, before.percent_done):
            self._on_change(activity)

    async def _rest(self, pause_s: float) -> None:
        """Sleep in naps, so that closing the watch, or its first activity, is noticed soon."""
        was_idle = not self.unfinished
        while pause_s > 0 and not self._is_hurried and not (was_idle and self.unfinished):
            nap_s = min(pause_s, _NAP_S)
            await self._sleep(nap_s)
            pause_s -= nap_s


async def wait_for_activities(
    client: ActivityReader,
    activity_ids: Iterable[str],
    *,
    deadline: float,
    on_change: Callable[[Activity], None] | None = None,
    on_gone: Callable[[str], None] | None = None,
    on_trouble: Callable[[Trouble | None], None] | None = None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> dict[str, Activity]:
    """Return what became of activities, by id, when all are done or gone, or at the deadline.

    `on_change`, `on_gone` and `on_trouble` are told as `ActivityWatch` says.
    """
    watch = ActivityWatch(
        client,
        deadline=deadline,
        on_change=on_change,
        on_gone=on_gone,
        on_trouble=on_trouble,
        clock=clock,
        sleep=sleep,
    )
    for activity_id in activity_ids:
        watch.add(activity_id)
    watch.close()
    return await watch.run()
