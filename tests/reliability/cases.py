"""Take a delivery through one trouble and to its end, and judge what was said on the way."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sandbox import Fault
from tests.reliability.delivery import (
    PROCESSING_S,
    Attempt,
    Delivery,
    account_running,
    new_delivery,
)
from tests.reliability.faults import (
    LATE_S,
    NEVER_S,
    SHORT_WINDOW_MINUTES,
    Case,
    Phase,
    Spot,
    Trouble,
)
from tests.reliability.processes import Commands
from tests.reliability.truth import (
    find_differences,
    find_repeats,
    find_untruths,
    read_document,
)

MOST_FURTHER_RUNS = 3
ARRIVES_WITHIN_S = 60.0
LOOKS_EVERY_S = 0.02
MOST_OF_A_KIND = 3  # the journal and two polls; whether there is a third poll is up to the clock
MOST_TRIES = 3
LONGEST_WINDOW_MINUTES = 60.0
REFUSED = 2
QUOTA = '{"error_key":"quota_exceeded","error_message":"Limit Exceeded"}'
SETTLES_S = 0.1  # from the last byte of a request to what it does


class Ending(StrEnum):
    """How a delivery came to its end."""

    AT_ONCE = "at once"
    BY_RUNNING_AGAIN = "by running again"
    WITH_A_PERSON = "with a person"
    NOT = "not delivered"
    UNREACHED = "the trouble never came up"


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one case; `repeats` are contacts accepted twice where they must not be."""

    phase: Phase
    operation: str
    group: str
    name: str
    ending: Ending
    message: str
    problems: tuple[str, ...] = ()
    repeats: tuple[str, ...] = ()
    is_repeat_documented: bool = False
    runs: int = 1
    took_s: tuple[float, ...] = ()

    @property
    def is_good(self) -> bool:
        return not self.problems and (not self.repeats or self.is_repeat_documented)


def list_spots(commands: Commands, folder: Path) -> list[Spot]:
    """Deliver while nothing happens, at once and in two runs; return all requests of both."""
    return [spot for phase in Phase for spot in _requests_of(commands, folder, phase)]


def _requests_of(commands: Commands, folder: Path, phase: Phase) -> list[Spot]:
    with account_running() as box:
        delivery = new_delivery(commands, box, folder)
        begin(delivery, phase)
        attempt = delivery.run()
        problems = [*judge(delivery), *find_differences(delivery), *find_repeats(delivery)]
        if attempt.ended.code != 0 or problems:
            raise AssertionError(f"A clean export fails: {problems} {attempt.ended}")
    operations = [request.operation for request in attempt.requests]
    spots = [
        Spot(phase, operation, operations[: place + 1].count(operation))
        for place, operation in enumerate(operations)
    ]
    return [spot for spot in spots if spot.occurrence <= MOST_OF_A_KIND]


def begin(delivery: Delivery, phase: Phase) -> None:
    """Bring a delivery to where a phase begins: nothing done, or its third batch not sent."""
    if phase is Phase.FIRST:
        return
    delivery.box.script(Fault("file_import", "status", 3, status=429, body=QUOTA))
    stopped = delivery.run()
    delivery.box.clear_script()
    if stopped.ended.code != 1:
        raise AssertionError(f"The quota did not stop the run: {stopped.ended}")


def judge(delivery: Delivery) -> list[str]:
    """Say everything that is wrong with what the runs of a delivery said."""
    return [
        f"run {number}: {untruth}"
        for number, attempt in enumerate(delivery.attempts, start=1)
        for untruth in find_untruths(delivery, attempt)
    ]


def run_case(commands: Commands, folder: Path, case: Case) -> Finding:
    """Run an export that a trouble befalls, then run it again until it is delivered."""

    def go_through(delivery: Delivery, tries: int) -> bool:
        window_minutes = min(LONGEST_WINDOW_MINUTES, 2**tries * case.trouble.window_minutes)
        attempt = delivery.run(window_minutes=window_minutes)
        met = [one for one in attempt.requests if one.operation == case.spot.operation]
        return len(met) >= case.spot.occurrence

    return _take_through(commands, folder, case, go_through)


def run_kill(commands: Commands, folder: Path, spot: Spot, moment: str) -> Finding:
    """Kill an export at one of its requests, then run it again until it is delivered."""

    def go_through(delivery: Delivery, _tries: int) -> bool:
        earlier = len(delivery.box.state.requests(spot.operation))
        running, note_end = delivery.start()
        give_up_at = time.monotonic() + ARRIVES_WITHIN_S
        has_arrived = False
        while running.is_alive and time.monotonic() < give_up_at and not has_arrived:
            met = delivery.box.state.requests(spot.operation)[earlier:]
            has_arrived = len(met) >= spot.occurrence and (
                met[spot.occurrence - 1].body_bytes > 0 or met[spot.occurrence - 1].method == "GET"
            )
            time.sleep(SETTLES_S if has_arrived else LOOKS_EVERY_S)
        note_end(running.kill())
        return has_arrived

    return _take_through(commands, folder, Case(spot, kill_trouble(moment)), go_through)


def _take_through(
    commands: Commands, folder: Path, case: Case, go_through: Callable[[Delivery, int], bool]
) -> Finding:
    """Take a delivery through a case.

    On a busy machine its request may not come up, as imports are done or a short window is over
    before it; then it begins anew, and these are longer.
    """
    for tries in range(MOST_TRIES):
        with account_running(PROCESSING_S * 2**tries) as box:
            delivery = new_delivery(commands, box, folder)
            begin(delivery, case.spot.phase)
            box.script(*case.faults)
            was_reached = go_through(delivery, tries)
            box.clear_script()
            finding = conclude(delivery, [case], was_reached=was_reached)
        if was_reached:
            break
    return finding


KILL_MOMENTS = {
    "before": "killed as the request arrives",
    "after": "killed when it was carried out",
    "late": f"killed when it was carried out, job shown {LATE_S:g} s late",
}


def kill_trouble(moment: str) -> Trouble:
    """Hold a request up for ever, so that there is time to kill who waits for it."""
    held = Fault("any", "delay", when="before" if moment == "before" else "after", seconds=NEVER_S)
    late = (Fault("any", "hidden", seconds=LATE_S),) if moment == "late" else ()
    return Trouble(KILL_MOMENTS[moment], KILL_MOMENTS[moment], (*late, held))


def conclude(delivery: Delivery, cases: Iterable[Case], *, was_reached: bool) -> Finding:
    """Run a delivery again until it is complete, connecting again when the sign-in is lost."""
    cases = list(cases)
    earlier_runs = len(delivery.attempts)
    troubled = delivery.attempts[-1]
    is_stuck = any(case.trouble.is_stuck for case in cases)
    needed_person = False
    problems = []
    for _ in range(MOST_FURTHER_RUNS):
        last = delivery.attempts[-1]
        if last.ended.code == 0:
            break
        if len(delivery.attempts) > earlier_runs and "connect again" in _message(last):
            needed_person = True  # nothing is wrong any more but that the sign-in is lost
            if last.ended.code != REFUSED or "sign-in" not in _message(last):
                problems.append(f"a lost sign-in is not named: {_message(last)}")
            again = delivery.connect_again()
            if again.code != 0:
                problems.append(f"connecting again failed: {again.err[-300:]}")
        delivery.run(window_minutes=SHORT_WINDOW_MINUTES if is_stuck else 60.0)
        if is_stuck:
            break  # there is no end to be waited for
    problems += judge(delivery)
    is_delivered = delivery.attempts[-1].ended.code == 0
    if not is_delivered and not is_stuck:
        problems.append(f"not delivered: {_message(delivery.attempts[-1])}")
    if not is_stuck:
        problems += find_differences(delivery)
    if not was_reached:
        problems.append(f"the trouble never came up in {MOST_TRIES} tries")
    return Finding(
        phase=cases[0].spot.phase,
        operation=cases[0].spot.operation,
        group=" + ".join(sorted({case.trouble.group for case in cases})),
        name=" + ".join(case.name for case in cases),
        ending=_name_ending(
            runs=1 + len(delivery.attempts) - earlier_runs,
            was_reached=was_reached,
            needed_person=needed_person or is_stuck,
            is_delivered=is_delivered,
        ),
        message=_message(troubled),
        problems=tuple(problems),
        repeats=tuple(find_repeats(delivery)),
        is_repeat_documented=any(case.trouble.may_repeat for case in cases),
        runs=1 + len(delivery.attempts) - earlier_runs,
        took_s=tuple(attempt.took_s for attempt in delivery.attempts),
    )


def _name_ending(
    *, runs: int, was_reached: bool, needed_person: bool, is_delivered: bool
) -> Ending:
    if not was_reached:
        return Ending.UNREACHED
    if needed_person:
        return Ending.WITH_A_PERSON
    if not is_delivered:
        return Ending.NOT
    return Ending.AT_ONCE if runs == 1 else Ending.BY_RUNNING_AGAIN


def _message(attempt: Attempt) -> str:
    if attempt.was_killed:
        return ""
    return str(read_document(attempt).get("message", attempt.ended.err.strip()))
