"""What the authorisation server answers, by path."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sandbox._authorize import (
    ACTIVATE_PATH,
    AUTHORIZE_PATH,
    DEVICE_PATH,
    activate,
    authorize,
    authorize_device,
)
from sandbox._http import Answer, Call
from sandbox._oauth import TOKEN_PATH, issue_tokens
from sandbox._world import World


@dataclass(frozen=True, slots=True)
class Door:
    """One address of the sign-in service; `is_limited` to so many requests a second."""

    name: str
    methods: tuple[str, ...]
    answer: Callable[[World, Call], Answer]
    is_limited: bool = False


SIGN_IN_SERVICE: Mapping[str, Door] = MappingProxyType(
    {
        TOKEN_PATH: Door(
            "token",
            ("POST",),
            lambda world, call: issue_tokens(world.desk, world.grants, call),
            is_limited=True,
        ),
        AUTHORIZE_PATH: Door("authorize", ("GET", "POST"), authorize),
        DEVICE_PATH: Door("device_authorize", ("POST",), authorize_device),
        ACTIVATE_PATH: Door("activate", ("GET", "POST"), activate),
    }
)
