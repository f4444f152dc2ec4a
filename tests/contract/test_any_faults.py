"""Any sequence of faults ends in the right contacts, or in an honest error."""

import sys
from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from constant_contact import Activity, ActivityState
from sandbox import Fault
from tests.contract.fault_driver import BATCHES, Exports
from tests.contract.fault_ledger import Death, secrets_of
from tests.contract.fault_strategies import SLOW_S, faults, lost_answers

PERSONAL = ("@people.example", "@quoted.example")
LAST_WINDOW_S = 1_500.0
PAGE_AND_ONE, QUEUE = 501, 1_000


class AnyFaults(RuleBasedStateMachine, Exports):
    """Exports, run by run, while everything may go wrong."""

    def __init__(self) -> None:
        RuleBasedStateMachine.__init__(self)
        Exports.__init__(self)
        self.has_slow_fault = self.has_company = False
        self.checked = 0

    # What may happen

    @rule(fault=faults())
    def something_will_go_wrong(self, fault: Fault) -> None:
        if fault.seconds == SLOW_S:
            fault = replace(fault, seconds=0.01) if self.has_slow_fault else fault
            self.has_slow_fault = True
        self.box.script(fault)

    deaths = st.builds(Death, at=st.integers(1, 12), is_answered=st.booleans())

    @rule(
        names=st.lists(st.sampled_from(sorted(BATCHES)), min_size=1, max_size=4, unique=True),
        troubles=st.lists(faults(), max_size=4) | lost_answers() | lost_answers(),
        death=st.none() | st.none() | deaths,
        is_waited_for=st.booleans(),
    )
    def an_export_runs(
        self, names: list[str], troubles: list[Fault], death: Death | None, *, is_waited_for: bool
    ) -> None:
        if self.needs_sign_in:
            self.connect_again()
        self.box.clear_script()
        for fault in troubles:
            self.something_will_go_wrong(fault)
        run = self.run
        self.ledger.death = death
        for name in names:
            if self.run is run:
                self.deliver(name)
        if is_waited_for and self.run is run and self.read_journal():
            self.wait()
        self.ledger.death = None

    @rule(window_s=st.sampled_from((15.0, 60.0, 300.0, 1_800.0)))
    def a_run_begins(self, window_s: float) -> None:
        self.begin_run(window_s)

    @rule(seconds=st.sampled_from((0.5, 5.0, 60.0, 1_000.0, 86_400.0, 11 * 86_400.0)))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(question=st.sampled_from(("account", "lists", "fields", "privileges", "uuid", "number")))
    def something_is_looked_up(self, question: str) -> None:
        client = self.require_client()
        number = self.box.state.sequence_id(self.list_id)
        questions: dict[str, Any] = {
            "account": client.get_account,
            "lists": client.get_lists,
            "fields": client.get_custom_fields,
            "privileges": client.get_privileges,
            "uuid": lambda: client.resolve_list(self.list_id),
            "number": lambda: client.resolve_list(number),
        }
        self.call("look-up", questions[question])

    @rule(is_sign_in_too=st.sampled_from((False, False, False, True)))
    def the_access_token_is_revoked(self, *, is_sign_in_too: bool) -> None:
        self.box._world.desk._access_tokens.clear()
        if is_sign_in_too:
            self.box._world.desk._consents.clear()

    @precondition(lambda self: not self.has_company)
    @rule(count=st.sampled_from((PAGE_AND_ONE, QUEUE)), lasts_s=st.sampled_from((5.0, 300.0)))
    def others_have_jobs_too(self, count: int, lasts_s: float) -> None:
        self.has_company = True
        self.box._on_loop(lambda: self.log.open_for_others(count, lasts_s))

    # What always holds

    @invariant()
    def nothing_is_accepted_twice(self) -> None:
        for accepted in self.ledger.accepted[self.checked :]:
            for earlier in accepted.earlier:
                assert not self.ledger.has_been_shown(earlier, to=accepted), (earlier, accepted)
        self.checked = len(self.ledger.accepted)

    @invariant()
    def nothing_said_tells_a_person_or_a_secret(self) -> None:
        said = "\n".join(self.words)
        assert not [secret for secret in secrets_of(self.box) if secret in said]
        assert not [person for person in PERSONAL if person in said], said
        self.words.clear()

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.end_without_faults()
                self.nothing_is_accepted_twice()
                self.nothing_said_tells_a_person_or_a_secret()
        finally:
            self.end_run()
            self.closing.close()

    def end_without_faults(self) -> None:
        """Run until nothing is missing; what never ends is named, and nobody else is missing."""
        self.box.clear_script()
        ended: dict[str, Activity] = {}
        for _ in range(4):
            self.begin_run(LAST_WINDOW_S)
            if self.needs_sign_in:
                self.connect_again()
            if not self.read_journal():
                assert self.needs_sign_in
                continue
            delivered = [self.deliver(name) for name in sorted(self.attempted)]
            if all(delivered):
                ended = self.wait()
            if ended.keys() == self.attempted and not any(
                one.state.is_failed for one in ended.values()
            ):
                break
        assert ended.keys() == self.attempted
        for name, activity in ended.items():
            found = self.ledger.find(activity.activity_id)
            assert found is not None
            never_ends = found.activity.outcome in {"processing", "resting"}
            assert never_ends or activity.state is ActivityState.COMPLETED, (name, activity)
        imported = {a.file_name for a in self.ledger.accepted if a.activity.outcome == "completed"}
        expected = {
            email: {"first_name": first_name}
            for name in imported
            for email, first_name in BATCHES[name].items()
        }
        assert self.box.state.members(self.list_id) == expected


TestAnyFaults = AnyFaults.TestCase
TestAnyFaults.settings = settings(
    derandomize=True,
    database=None,
    max_examples=60,
    stateful_step_count=12,
)
