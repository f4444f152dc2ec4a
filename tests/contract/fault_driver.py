"""Exports of up to four batches through the real client, and what has to be true of each step."""

import asyncio
import pickle
import traceback
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeVar

from constant_contact import (
    Activity,
    ActivityState,
    ActivityWatch,
    ConstantContact,
    ConstantContactError,
    Credentials,
    MemoryTokenStore,
    OutcomeUnknown,
    Pacer,
    SignInExpired,
    Timeouts,
    Tokens,
)
from sandbox import ManualClock, SandboxSettings, running
from tests.contract.fault_ledger import FAILED, Acceptance, Killed, Wire, listening, watch
from tests.contract.fault_strategies import TIME_OUT_S

T = TypeVar("T")

BATCHES = {
    f"spring.d1.{number}.abc{number}.csv": {
        f"{person}{number}@people.example": person.title() for person in ("ann", "bob")
    }
    for number in range(4)
}

# Nothing is asked more often than the pacer lets it; these are far below.
MOST_REQUESTS = 600
MOST_REAL_S = 60.0
MOST_LATE_S = 15.0

# The answer of these may have been lost after the batch was accepted, and they say so.
OPEN_ENDED = (OutcomeUnknown,)


@dataclass
class Run:
    """What one process knows: the destination is its journal, and nothing outlives it."""

    deadline: float
    activities: dict[str, Activity] | None = None
    earlier_ids: frozenset[str] = frozenset()


class Exports:
    """Run after run, each as a process of its own: only the stored tokens outlive it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.closing = ExitStack()
        self.loop = self.closing.enter_context(asyncio.Runner())
        self.box = self.closing.enter_context(running(SandboxSettings(), clock=self.clock))
        self.ledger, self.log = watch(self.box)
        self.words = self.closing.enter_context(listening())
        self.list_id = self.box.add_list("Spring campaign")
        self.store = MemoryTokenStore(Tokens.of(refresh_token=self.box.refresh_token))
        self.attempted: set[str] = set()
        self.needs_sign_in = False
        self.client: ConstantContact | None = None
        self.begin_run(600.0)

    def begin_run(self, window_s: float) -> None:
        """Start anew as after a kill: another client and nothing but the stored tokens."""
        self.end_run()
        self.ledger.run += 1
        self.ledger.death = None
        self.run = Run(deadline=self.clock.utc_s() + window_s)

        self.client = ConstantContact(
            credentials=Credentials.of(self.box.client_id, self.box.client_secret),
            token_store=self.store,
            api_url=self.box.api_url,
            auth_url=self.box.auth_url,
            open_transport=lambda: Wire(self.ledger),
            limiter=Pacer(clock=self.clock.monotonic_s, sleep=self.sleep),
            token_limiter=Pacer(interval_s=1.1, clock=self.clock.monotonic_s, sleep=self.sleep),
            timeouts=Timeouts(read_s=TIME_OUT_S, upload_read_s=TIME_OUT_S),
            deadline=self.run.deadline,
            on_event=lambda event: self.words.append(repr(event)),
            clock=self.clock.utc_s,
            sleep=self.sleep,
        )

    def connect_again(self) -> None:
        app = self.box.add_client(self.box.client_id)
        self.store.tokens = Tokens.of(refresh_token=app.refresh_token)
        self.needs_sign_in = False

    def end_run(self) -> None:
        if self.client is not None:
            self.loop.run(self.client.__aexit__(None, None, None))
            self.client = None

    def require_client(self) -> ConstantContact:
        assert self.client is not None
        return self.client

    async def sleep(self, wait_s: float) -> None:
        self.clock.advance(wait_s)
        await asyncio.sleep(0)

    def read_journal(self) -> bool:
        """Read, once a run, what the account knows of this delivery."""
        if self.run.activities is None:
            seen = self.call(f"journal of run {self.ledger.run}", self.read_activities)
            if seen is None:
                return False
            self.run.earlier_ids = frozenset(one.activity_id for one in seen)
            self.run.activities = {
                str(one.source_file_name): one
                for one in sorted(seen, key=lambda one: one.state.is_finished)
                if not one.state.is_failed
            }
            for one in seen:
                self.require_true(str(one.source_file_name), one)
        return True

    async def read_activities(self) -> list[Activity]:
        found = self.require_client().iter_activities()
        return [one async for one in found if one.source_file_name in BATCHES]

    def deliver(self, name: str) -> bool:
        """Send a batch unless the journal knows it; say whether it is accepted."""
        self.attempted.add(name)
        if not self.read_journal():
            return False
        accepted = self.run.activities
        assert accepted is not None
        if name in accepted:
            return True
        before = len(self.ledger.accepted)
        receipt = self.call(
            f"import {before} of {name} in run {self.ledger.run}",
            lambda: self.require_client().import_file(
                file_name=name,
                body=to_csv(BATCHES[name]),
                list_ids=[self.list_id],
                known_ids=self.run.earlier_ids,
            ),
        )
        if receipt is None:
            return False
        self.require_true(name, receipt.activity)
        assert receipt.activity.activity_id not in self.run.earlier_ids
        accepted[name] = receipt.activity
        return True

    def wait(self) -> dict[str, Activity]:
        """Watch what is accepted until it is done or the window ends; say what became of it."""
        assert self.run.activities is not None
        name_of = {one.activity_id: name for name, one in self.run.activities.items()}
        gone: list[str] = []
        watching = ActivityWatch(
            self.require_client(),
            deadline=self.run.deadline,
            on_gone=gone.append,
            clock=self.clock.utc_s,
            sleep=self.sleep,
        )
        for activity_id in name_of:
            watching.add(activity_id)
        watching.close()
        finished = self.call("watch", watching.run)
        for activity_id, activity in watching.known.items():
            self.require_true(name_of[activity_id], activity)
        if finished is not None:
            assert not watching.unfinished or self.clock.utc_s() >= self.run.deadline
        self.begin_run(60.0)
        return {name_of[activity_id]: one for activity_id, one in watching.known.items()}

    def call(self, phase: str, work: Callable[[], Awaitable[T]]) -> T | None:
        """Do one thing with the client; None when it ends in an honest error, or in a kill."""
        ledger = self.ledger
        ledger.phase, began_s, sent = phase, self.clock.utc_s(), ledger.requests
        accepted, window_s = len(ledger.accepted), max(0.0, self.run.deadline - began_s)

        async def bounded() -> T:
            async with asyncio.timeout(MOST_REAL_S):
                return await work()

        try:
            return self.loop.run(bounded())
        except Killed:
            self.begin_run(600.0)
        except ConstantContactError as error:
            self.require_honest(error)
            if not isinstance(error, OPEN_ENDED):
                self.require_not_accepted(ledger.accepted[accepted:])
            self.needs_sign_in |= isinstance(error, SignInExpired)
            self.begin_run(60.0)
        finally:
            ledger.phase = ""
            assert self.clock.utc_s() - began_s <= window_s + MOST_LATE_S
            assert ledger.requests - sent <= MOST_REQUESTS
        return None

    def require_not_accepted(self, accepted: list[Acceptance]) -> None:
        """Check that what a call ended without is not there, as far as the client could see."""
        for one in accepted:
            has_failed = one.activity.state_at(self.clock.utc_s()) in FAILED
            assert has_failed or not self.ledger.has_been_shown(one), one

    def require_honest(self, error: ConstantContactError) -> None:
        """Check that an error travels between processes, and keeps people and secrets to itself."""
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 -- our own, made in this line
        assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
        assert str(error).strip()
        assert "\n" not in str(error)
        self.words += [repr(error), repr(vars(error)), *traceback.format_exception(error)]

    def require_true(self, name: str, told: Activity) -> None:
        """Check that an activity exists, is the file's, and has ended only if it has."""
        accepted = self.ledger.find(told.activity_id)
        assert accepted is not None
        assert accepted.file_name == name
        if told.state is ActivityState.COMPLETED:
            assert accepted.activity.outcome == "completed"
            assert accepted.activity.is_carried_out
        elif told.state.is_failed:
            assert accepted.activity.outcome in FAILED


def to_csv(contacts: dict[str, str]) -> bytes:
    lines = ["email,first_name", *(f"{email},{name}" for email, name in contacts.items())]
    return "".join(f"{line}\r\n" for line in lines).encode()
