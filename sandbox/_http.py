"""A request that got past the gate, and the answer to it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox._faults import Fault
from sandbox._tokens import AccessToken

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, content and headers of an answer.

    `content` is anything that JSON can hold, or text or bytes to be sent as they are; None is an
    empty body.
    """

    status: int
    content: Any = None
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Return the body as it goes over the wire."""
        if self.content is None:
            return b""
        if isinstance(self.content, bytes):
            return self.content
        if isinstance(self.content, str):
            return self.content.encode()
        return json.dumps(self.content, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Call:
    """One request to an operation.

    `path_values` are the variable parts of the path by name; `twists` are the scripted faults
    that change the activity which this request creates.
    """

    method: str
    path: str
    path_values: Mapping[str, str]
    query: str
    headers: Mapping[str, str]
    body: bytes
    token: AccessToken | None
    twists: tuple[Fault, ...] = ()
