"""What happened between a client and a sandbox, told from both ends of the wire."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from constant_contact import Patience
from sandbox import Box, Clock, Fault
from sandbox._faults import FaultScript
from sandbox._jobs import Activity, ActivityLog
from tests.contract.sandbox_api import TLS

FAILED = frozenset({"failed", "cancelled", "timed_out", "time_out"})
PATIENCE_S = sum(Patience().looks_after_s)
COLLECTION = "/v3/activities"

# Without one of these in a page, a job on it, or on the pages after it, cannot be recognised.
NEEDED_TO_RECOGNISE = frozenset(
    {"activities", "activity_id", "source_file_name", "_links", "next", "href"}
)


class Killed(BaseException):
    """The process died here: no code of its own ran any more."""


@dataclass(frozen=True, slots=True)
class Death:
    """Die with the `at`-th request of a call, before it goes out or when its answer is there."""

    at: int
    is_answered: bool


@dataclass(frozen=True, slots=True)
class Look:
    """One reading of the collection that reached the client, and which jobs it could not show."""

    at_s: float
    phase: str
    shown_ids: frozenset[str]
    is_damaged: bool

    def conceals(self, accepted: "Acceptance") -> bool:
        return (
            self.is_damaged
            or accepted.activity.source_file_name is None
            or accepted.activity.activity_id not in self.shown_ids
        )


@dataclass(frozen=True, slots=True, eq=False)
class Acceptance:
    """A file that the sandbox took, while the client was in `phase` of run `run`.

    `earlier` are those of the same name that had not failed by then; `looks` is how many readings
    of the collection came before.
    """

    at_s: float
    file_name: str
    activity: Activity
    run: int
    phase: str
    looks: int
    earlier: tuple["Acceptance", ...]


@dataclass
class Ledger:
    """Everything that was accepted, read and sent; `run` and `phase` are set by who drives."""

    clock: Clock
    accepted: list[Acceptance] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    requests: int = 0
    run: int = 0
    phase: str = ""
    death: Death | None = None
    shown_ids: frozenset[str] = frozenset()
    is_damaged: bool = False

    def find(self, activity_id: str) -> Acceptance | None:
        return next((a for a in self.accepted if a.activity.activity_id == activity_id), None)

    def of_name(self, file_name: str) -> list[Acceptance]:
        return [one for one in self.accepted if one.file_name == file_name]

    def note_acceptance(self, file_name: str, activity: Activity) -> None:
        now_s = self.clock.utc_s()
        earlier = [
            one for one in self.of_name(file_name) if one.activity.state_at(now_s) not in FAILED
        ]
        self.accepted.append(
            Acceptance(
                now_s, file_name, activity, self.run, self.phase, len(self.looks), tuple(earlier)
            )
        )

    def has_been_shown(self, one: Acceptance, *, to: Acceptance | None = None) -> bool:
        """Say whether the client had to know of an acceptance when it had the next one, or ended.

        It cannot know when no look that counts showed the job: within one call the looks after
        the lost answer, the last of them when its patience is at its end; for a later run its
        journal, and what its call looked up itself.
        """
        run, phase = (to.run, to.phase) if to else (self.run, self.phase)
        until = to.looks if to else len(self.looks)
        in_one_call = one.phase == phase
        counting = {phase} if in_one_call else {phase, f"journal of run {run}"}
        looks = [look for look in self.looks[one.looks : until] if look.phase in counting]
        patience_s = PATIENCE_S if in_one_call else 0.0
        if not looks or looks[-1].at_s - one.at_s < patience_s:
            return True
        return not all(look.conceals(one) for look in looks)


class WatchedScript(FaultScript):
    """The sandbox's script of faults, noting which readings of the collection it damaged."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger

    def take(self, operation: str) -> tuple[Fault, ...]:
        faults = super().take(operation)
        if operation == "activities" and any(map(_damages, faults)):
            self._ledger.is_damaged = True
        return faults


class WatchedLog(ActivityLog):
    """The sandbox's activities, noting each that is made and which of ours a reading shows."""

    def __init__(self, box: Box, ledger: Ledger) -> None:
        super().__init__(box._world.settings, box._world.clock)
        self._ledger = ledger

    def open(self, *args: Any, source_file_name: str | None = None, **given: Any) -> Activity:
        activity = super().open(*args, source_file_name=source_file_name, **given)
        self._ledger.note_acceptance(str(source_file_name), activity)
        return activity

    def open_for_others(self, count: int, lasts_s: float) -> None:
        twist = Fault("json_import", "duration", seconds=lasts_s)
        for _ in range(count):
            super().open(iter(()), {}, [], twists=(twist,))

    def read_collection(self) -> list[Activity]:
        shown = super().read_collection()
        ours = {one.activity.activity_id for one in self._ledger.accepted}
        self._ledger.shown_ids = frozenset(ours & {one.activity_id for one in shown})
        return shown


class Wire(httpx.AsyncBaseTransport):
    """The real way over the socket, which counts, notes what was read, and can be cut for good."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._inner = httpx.AsyncHTTPTransport(verify=TLS)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        ledger = self._ledger
        ledger.requests += 1
        death, dies = ledger.death, False
        if death is not None:
            dies = death.at <= 1
            ledger.death = Death(death.at - 1, death.is_answered)
        if dies and death is not None and not death.is_answered:
            raise Killed
        begins_look = request.url.path == COLLECTION and "cursor" not in request.url.params
        if begins_look:
            ledger.is_damaged = False
        answer = await self._inner.handle_async_request(request)
        try:
            content = await answer.aread()
        finally:
            await answer.aclose()
        if dies:
            raise Killed
        response = httpx.Response(answer.status_code, headers=answer.headers, content=content)
        if request.url.path == COLLECTION and _is_page(response):
            if begins_look:
                now_s = ledger.clock.utc_s()
                ledger.looks.append(Look(now_s, ledger.phase, ledger.shown_ids, ledger.is_damaged))
            elif ledger.is_damaged:
                ledger.looks[-1] = replace(ledger.looks[-1], is_damaged=True)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


def watch(box: Box) -> tuple[Ledger, WatchedLog]:
    """Put a ledger behind a sandbox that has not been used yet."""
    ledger = Ledger(box._world.clock)
    log = WatchedLog(box, ledger)
    box._world.script = WatchedScript(ledger)
    box._world.account.activities = log
    return ledger, log


@contextmanager
def listening() -> Iterator[list[str]]:
    """Collect every word that the client and its HTTP library write to the log."""
    words: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            words.append(record.getMessage())

    loggers = [logging.getLogger(name) for name in ("segment_export", "httpx")]
    listener, levels = Listener(), [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(listener)
        logger.setLevel(logging.DEBUG)
    try:
        yield words
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(listener)
            logger.setLevel(level)


def secrets_of(box: Box) -> Iterable[str]:
    """Return every token and secret that the sandbox has given out so far."""
    desk = box._world.desk
    return [box.client_secret, *desk._access_tokens, *desk._consents]


def _damages(fault: Fault) -> bool:
    if fault.kind == "missing":
        return not NEEDED_TO_RECOGNISE.isdisjoint(fault.fields)
    return fault.kind == "status" and fault.status < 300


def _is_page(response: httpx.Response) -> bool:
    try:
        page = response.json()
    except (ValueError, RecursionError):
        return False
    return response.is_success and isinstance(page, dict)
