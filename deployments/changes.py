"""What a deployment did, thing by thing, and how it says no."""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What became of one thing on the server."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing on the server, and what became of it."""

    kind: str
    name: str
    outcome: Outcome


class DeploymentRefused(Exception):
    """What is to be deployed makes no sense; nothing was changed. Its text is for a person."""


class DeploymentFailed(Exception):
    """The deployment ended before all was done; running it again goes on. As above."""
