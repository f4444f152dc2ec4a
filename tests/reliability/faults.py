"""The table of everything that may go wrong with one request, and where it makes sense."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from sandbox import Fault

EVERY = frozenset({"token", "list", "custom_fields", "activities", "file_import"})
READS = frozenset({"list", "custom_fields", "activities"})
IMPORT = frozenset({"file_import"})
TOKEN = frozenset({"token"})
FOR_GOOD = 10_000
NEVER_S = 100_000.0
SHORT_WINDOW_MINUTES = 0.2
OUTAGE_WINDOW_MINUTES = 2.5  # longer than any patience but that of polling, which is the window's
LATE_S = 4.0  # how much later a job is shown than accepted

NAMELESS = "job without a file name"
ANY = "any"  # stands for the operation, which is filled in


@dataclass(frozen=True, slots=True)
class Trouble:
    """One row of the table: what goes wrong, with requests of which operations.

    `is_lengthy`: takes more than half a minute. `is_stuck`: the job never ends, so that no run
    can finish the delivery. `may_repeat`: the account does not tell the names of files when they
    are looked for, so that batches are documented to go again.
    """

    group: str
    name: str
    faults: tuple[Fault, ...]
    operations: frozenset[str] = EVERY
    window_minutes: float = 60.0
    is_lengthy: bool = False
    is_stuck: bool = False
    may_repeat: bool = False


class Phase(StrEnum):
    """Which run of a delivery it is that trouble befalls."""

    FIRST = "first"
    SECOND = "second"  # after one that got two of three batches accepted


@dataclass(frozen=True, slots=True)
class Spot:
    """A request of an export: the n-th of its operation in a run."""

    phase: Phase
    operation: str
    occurrence: int

    def __str__(self) -> str:
        """Name it as `--only` and the lines that are printed do."""
        return f"{self.phase} run, {self.operation} {self.occurrence}"


@dataclass(frozen=True, slots=True)
class Case:
    """A trouble that befalls one request."""

    spot: Spot
    trouble: Trouble

    @property
    def name(self) -> str:
        return f"{self.spot}: {self.trouble.name}"

    @property
    def faults(self) -> tuple[Fault, ...]:
        return tuple(
            replace(fault, operation=self.spot.operation, occurrence=self.spot.occurrence)
            for fault in self.trouble.faults
        )


def _status(status: int, **more: object) -> Fault:
    return Fault(ANY, "status", status=status, **more)  # type: ignore[arg-type] # fields by name


def _error(key: str, message: str = "x") -> str:
    return f'{{"error_key":"{key}","error_message":"{message}"}}'


_REFUSALS = [
    ("400", _status(400)),
    ("400 in HTML", _status(400, envelope="html")),
    ("404", _status(404)),
    ("409", _status(409)),
    ("413", _status(413, envelope="html")),
    ("415", _status(415)),
]
_DENIALS = [
    ("401", _status(401, envelope="object")),
    ("401 for good", _status(401, envelope="object", repeat=FOR_GOOD)),
    ("403 access denied", _status(403, body=_error("access_denied", "insufficient scope"))),
    ("403 privilege", _status(403, body=_error("access_denied", "insufficient user privileges"))),
    ("403 of the gateway", _status(403, envelope="gateway")),
]
_LIMITS = [
    ("429 throttled", _status(429, body=_error("throttled"))),
    ("429 quota_exceeded", _status(429, body=_error("quota_exceeded"))),
    ("429 of another kind", _status(429)),
]
_SERVER_FAULTS = [
    ("408", _status(408, envelope="html")),
    ("500", _status(500)),
    ("502 in HTML", _status(502, envelope="html")),
    ("503 without a body", _status(503, envelope="empty")),
    ("504 of the gateway", _status(504, envelope="gateway")),
]
_WRONG_ANSWERS = [
    ("200 in HTML", _status(200, envelope="html")),
    ("200 that is no JSON", _status(200, envelope="malformed")),
]
_CUT = ("connection cut", Fault(ANY, "drop"))
_DELAYED = ("1 s late", Fault(ANY, "delay", seconds=1.0))
_SILENT = ("no answer within the window", Fault(ANY, "delay", seconds=NEVER_S))
_MISSING = [
    ("token", ("access_token",)),
    ("token", ("refresh_token",)),
    ("token", ("expires_in",)),
    ("list", ("list_id",)),
    ("list", ("name",)),
    ("custom_fields", ("custom_fields",)),
    ("custom_fields", ("name",)),
    ("activities", ("activities",)),
    ("activities", ("activity_id",)),
    ("activities", ("state",)),
    ("activities", ("source_file_name",)),
    ("activities", ("status",)),
    ("activities", ("percent_done", "created_at", "updated_at", "_links")),
    ("file_import", ("activity_id",)),
    ("file_import", ("state",)),
    ("file_import", ("source_file_name",)),
    ("file_import", ("activity_id", "_links")),
]


def _after(fault: Fault) -> Fault:
    return replace(fault, when="after")


def _answers() -> Iterator[Trouble]:
    """Everything that may come instead of an answer, before and after the work is done."""
    for group, answers in (
        ("refused", _REFUSALS),
        ("denied", _DENIALS),
        ("told to wait or to stop", _LIMITS),
        ("server fault, nothing done", _SERVER_FAULTS),
        ("wrong answer, nothing done", _WRONG_ANSWERS),
        ("no answer, nothing done", [_CUT]),
        ("slow answer", [_DELAYED]),
    ):
        for name, fault in answers:
            yield Trouble(group, name, (fault,))
    for group, answers in (
        ("server fault after the work", _SERVER_FAULTS),
        ("wrong answer after the work", _WRONG_ANSWERS),
        ("no answer after the work", [_CUT]),
        ("slow answer", [_DELAYED]),
    ):
        for name, fault in answers:
            yield Trouble(group, f"{name}, after the work", (_after(fault),))


def _lasting() -> Iterator[Trouble]:
    """Trouble that outlasts every patience of one run."""
    for name, fault in (_SERVER_FAULTS[3], _CUT):
        lasting = replace(fault, repeat=FOR_GOOD)
        yield Trouble(
            "down for good", f"{name} for good", (lasting,),
            window_minutes=OUTAGE_WINDOW_MINUTES, is_lengthy=True,
        )  # fmt: skip
    name, fault = _SILENT
    for done, one in (("", fault), (", after the work", _after(fault))):
        yield Trouble(
            "no answer within the window", f"{name}{done}", (one,),
            window_minutes=SHORT_WINDOW_MINUTES, is_lengthy=True,
        )  # fmt: skip


def _damages() -> Iterator[Trouble]:
    """Answers that arrive in another form than they left."""
    yield Trouble("slow answer", "in pieces over 1 s", (Fault(ANY, "slow_body", seconds=1.0),))
    yield Trouble("damaged answer", "cut in half", (Fault(ANY, "truncated"),))
    for operation, fields in _MISSING:
        yield Trouble(
            "damaged answer",
            f"without {' and '.join(fields)}",
            (Fault(ANY, "missing", fields=fields),),
            frozenset({operation}),
            may_repeat=fields == ("source_file_name",) and operation == "activities",
        )
    for key, status in (("invalid_grant", 400), ("invalid_client", 401)):
        refusal = _status(status, body=f'{{"error":"{key}","error_description":"x"}}')
        yield Trouble("denied", f"{status} {key}", (refusal,), TOKEN)


def _jobs() -> Iterator[Trouble]:
    """Imports that were accepted and do not do what they should, or are not to be seen."""
    for state in ("failed", "cancelled", "timed_out"):
        twist = Fault(ANY, "outcome", state=state)
        yield Trouble("job ends otherwise", f"job ends {state}", (twist,), IMPORT)
        yield Trouble(
            "job ends otherwise", f"job ends {state}, answer lost", (twist, _after(_CUT[1])), IMPORT
        )
    yield Trouble(
        "job never ends", "job in a state that nobody knows",
        (Fault(ANY, "outcome", state="archived"),), IMPORT,
        window_minutes=SHORT_WINDOW_MINUTES, is_lengthy=True, is_stuck=True,
    )  # fmt: skip
    late = Fault(ANY, "hidden", seconds=LATE_S)
    yield Trouble("job shown late", f"job shown {LATE_S:g} s late", (late,), IMPORT)
    for name, fault in (_CUT, _SERVER_FAULTS[3]):
        yield Trouble(
            "job shown late", f"{name} after the work, job shown {LATE_S:g} s late",
            (late, _after(fault)), IMPORT,
        )  # fmt: skip
    nameless = Fault(ANY, "unnamed")
    yield Trouble(NAMELESS, "job shown without its name", (nameless,), IMPORT)
    yield Trouble(
        NAMELESS, "job shown without its name, answer lost",
        (nameless, _after(_CUT[1])), IMPORT, may_repeat=True,
    )  # fmt: skip


TABLE = (*_answers(), *_lasting(), *_damages(), *_jobs())


def list_cases(spots: Iterable[Spot]) -> list[Case]:
    """Cross the requests of an export with every trouble that may befall them."""
    return [
        Case(spot, trouble)
        for spot in spots
        for trouble in TABLE
        if spot.operation in trouble.operations
    ]


def draw_case(chance: random.Random, cases: list[Case]) -> Case:
    """Draw a case that one run survives or ends soon after, and that hides no file's name."""
    return chance.choice([case for case in cases if not _is_apart(case.trouble)])


def _is_apart(trouble: Trouble) -> bool:
    return (
        trouble.is_lengthy
        or trouble.is_stuck
        or trouble.may_repeat
        or trouble.group == NAMELESS  # beside a lost answer it would be sent again, as documented
    )
