"""Faults that happen when a script says so: by operation and occurrence, never by chance."""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Kind = Literal[
    "status", "drop", "delay", "slow_body", "truncated", "missing", "outcome", "hidden", "unnamed",
    "duration",
]  # fmt: skip
When = Literal["before", "after"]
Envelope = Literal["array", "object", "gateway", "oauth", "html", "empty", "malformed"]
_CHOICES = {"kind": get_args(Kind), "when": get_args(When), "envelope": get_args(Envelope)}
TWISTS = frozenset({"outcome", "hidden", "unnamed", "duration"})
RESHAPES = frozenset({"truncated", "missing", "slow_body"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong with the `occurrence`-th request of an operation.

    Requests are counted from the moment the fault is scripted, beginning at 1; only those count
    that got past authorisation and limits. The fault then stays for `repeat` requests.

    Kinds, and the fields that they read:

    - `status`: answer with `status` in `envelope` (or with `body`, sent as it is) instead.
      `when="before"`: the request is not carried out. `when="after"`: it is, and its answer lost.
    - `drop`: close the connection without an answer, `when` as above.
    - `delay`: wait `seconds` of real time, before carrying out or after, before answering.
    - `slow_body`: send the answer's body in ten pieces spread over `seconds`.
    - `truncated`: send the first half of the answer's JSON.
    - `missing`: leave the keys `fields` out of the answer, at any depth.
    - `outcome`: the activity that the request creates ends in `state` without doing its work;
      a state unknown to the contract is shown as it is, `processing` never ends.
    - `hidden`: that activity is not in the collection for the next `reads` reads of it, nor
      for `seconds`; asked for by its id it is there.
    - `unnamed`: that activity does not echo the name of its file.
    - `duration`: that activity is processed for `seconds`.
    """

    operation: str
    kind: Kind
    occurrence: int = 1
    repeat: int = 1
    when: When = "before"
    status: int = 503
    envelope: Envelope = "array"
    body: str | None = None
    seconds: float = 0.0
    reads: int = 0
    state: str = "failed"
    fields: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what could never come up."""
        for name, known in _CHOICES.items():
            if (given := getattr(self, name)) not in known:
                raise ValueError(f"A fault's {name} is one of {', '.join(known)}, not {given}")
        if self.occurrence < 1 or self.repeat < 1:
            raise ValueError("A fault's occurrence and repeat begin at 1")


@dataclass(slots=True)
class FaultScript:
    """The faults to come, and how many requests each has seen."""

    _armed: list[tuple[Fault, list[int]]] = field(default_factory=list)

    def add(self, faults: tuple[Fault, ...]) -> None:
        """Arm further faults."""
        self._armed.extend((fault, [0]) for fault in faults)

    def clear(self) -> None:
        """Forget all faults."""
        self._armed.clear()

    def take(self, operation: str) -> tuple[Fault, ...]:
        """Count a request of an operation and return the faults that it meets."""
        met = []
        for fault, seen in self._armed:
            if fault.operation != operation:
                continue
            seen[0] += 1
            if fault.occurrence <= seen[0] < fault.occurrence + fault.repeat:
                met.append(fault)
        return tuple(met)


def drop_keys(content: Any, keys: tuple[str, ...]) -> Any:
    """Return JSON content without some keys, at any depth."""
    if isinstance(content, dict):
        return {name: drop_keys(value, keys) for name, value in content.items() if name not in keys}
    if isinstance(content, list):
        return [drop_keys(item, keys) for item in content]
    return content
