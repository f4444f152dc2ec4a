"""A file that is sent to be imported, and what the service answers."""

from collections.abc import Callable
from typing import Any

import httpx

from constant_contact import (
    MaySend,
)

IMPORT = "POST /v3/activities/contacts_file_import"


ACTIVITIES = "GET /v3/activities"


NAME = "spring.d1.1.abcd.csv"


LIST = "71600990-908b-11e6-907f-1200166bff25"


CSV = b"email,first_name\r\nann@example.com,Ann\r\n"


def job(activity_id: str = "a1", name: str | None = NAME, state: str = "initialized") -> Any:
    return {"activity_id": activity_id, "source_file_name": name, "state": state}


def jobs(*entries: Any) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(200, json={"activities": list(entries)})


def send(client: Any, **given: Any) -> Any:
    return client.import_file(**{"file_name": NAME, "body": CSV, "list_ids": [LIST]} | given)


def raising(kind: type[httpx.TransportError]) -> httpx.Response:
    raise kind("nothing to see")


def saying(*permissions: MaySend) -> Callable[[], Any]:
    """Say one after the other when asked, and the last from then on."""
    left = list(permissions)

    async def may_send() -> MaySend:
        return left.pop(0) if len(left) > 1 else left[0]

    return may_send
