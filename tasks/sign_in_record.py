"""What is known of a connection's sign-in beside its secrets: renewed when, refused, last used.

Prefect variables hold it: no secret, and readable on every machine. It is for people; where the
API does not take it, the sign-in is renewed all the same.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Self

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import VariableCreate, VariableUpdate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

IDLE_LIFE = timedelta(days=180)  # of a refresh token that nobody uses
WARNING_BEFORE = timedelta(days=30)
LONG_LIVED_ADVICE = (
    "With the application's setting “long-lived refresh tokens” this cannot happen again."
)

_ANSWER_TIMEOUT_S = 10.0
_PAGE = 100


@dataclass(frozen=True, slots=True)
class SignInRecord:
    """How a sign-in went on, in ISO times; empty where it is not known.

    Attributes:
        renewed_at: when its refresh token was last used with success.
        begun_at: when the first renewal since then began that has not come to its end.
        begun_by: the process that began it.
        refused_at: when Constant Contact last said that the refresh token works no more.
    """

    renewed_at: str = ""
    begun_at: str = ""
    begun_by: str = ""
    refused_at: str = ""

    @classmethod
    def read(cls, stored: object) -> Self:
        """Read a variable's value, which anybody may have changed."""
        found = stored if isinstance(stored, dict) else {}
        return cls(**{key: str(found.get(key) or "") for key in cls.__slots__})

    def begin(self, now: datetime) -> Self:
        """Note a renewal that begins; one that was cut off before stays noted."""
        if self.begun_at:
            return self
        by = f"{socket.gethostname()}, process {os.getpid()}"
        return replace(self, begun_at=now.isoformat(timespec="seconds"), begun_by=by)

    @property
    def lapses_at(self) -> datetime | None:
        """Tell when the sign-in lapses if nothing uses it."""
        renewed_at = read_moment(self.renewed_at)
        return renewed_at + IDLE_LIFE if renewed_at else None

    def is_about_to_lapse(self, now: datetime) -> bool:
        """Say whether it is time to warn of that."""
        return self.lapses_at is not None and now >= self.lapses_at - WARNING_BEFORE

    def explain_refusal(self, now: datetime) -> str:
        """Say why the refresh token works no more, as far as that is known."""
        if self.lapses_at is not None and now >= self.lapses_at:
            days = (now - self.lapses_at + IDLE_LIFE).days
            return (
                f"This connection's sign-in has lapsed: it was not used for {days} days; connect "
                "again."
            )
        if self.begun_at:
            return (
                f"This connection's sign-in is lost: the renewal that began at {self.begun_at} "
                f"({self.begun_by}) was cut off before its answer was stored, and the token that "
                f"it sent works only once; connect again. {LONG_LIVED_ADVICE}"
            )
        return (
            "This connection's sign-in is refused: it was revoked, or its token was used by "
            "another program; connect again."
        )


def read_moment(text: str) -> datetime | None:
    """Read an ISO time in UTC; None for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def read_sign_in(slug: str) -> SignInRecord:
    """Read what is known of a sign-in; nothing where Prefect's API does not tell."""
    return SignInRecord.read(await _quietly(_read(_sign_in_variable(slug))))


async def write_sign_in(slug: str, record: SignInRecord) -> None:
    """Note how a sign-in goes on. Only for whoever holds the lock of its tokens."""
    await _quietly(_write(_sign_in_variable(slug), asdict(record)))


@dataclass(frozen=True, slots=True)
class LastUse:
    """When an export last went through a connection, and whose it was, as far as is known."""

    at: datetime | None
    by: str

    @classmethod
    def read(cls, stored: object) -> Self:
        """Read a variable's value, which anybody may have changed."""
        found = stored if isinstance(stored, dict) else {}
        return cls(read_moment(str(found.get("at"))), str(found.get("by") or ""))


async def read_notes(slugs: Sequence[str]) -> dict[str, tuple[SignInRecord, LastUse]]:
    """Read what is known of several connections, in few requests."""
    names = [name for slug in slugs for name in (_sign_in_variable(slug), _use_variable(slug))]
    stored: dict[str, object] = {}
    async with get_client() as client:
        for start in range(0, len(names), _PAGE):
            wanted = {"name": {"any_": names[start : start + _PAGE]}}
            answer = await client.request(
                "POST", "/variables/filter", json={"variables": wanted, "limit": _PAGE}
            )
            stored |= {one["name"]: one["value"] for one in answer.json()}
    return {
        slug: (
            SignInRecord.read(stored.get(_sign_in_variable(slug))),
            LastUse.read(stored.get(_use_variable(slug))),
        )
        for slug in slugs
    }


async def note_use(slug: str, *, by: str, now: datetime) -> None:
    """Note that an export goes through a connection."""
    value = {"at": now.isoformat(timespec="seconds"), "by": by}
    await _quietly(_write(_use_variable(slug), value))


async def move_notes(slug: str, new_slug: str) -> None:
    """Take over what is known of a connection under another name."""
    for variable in (_sign_in_variable, _use_variable):
        if isinstance(value := await _quietly(_read(variable(slug))), dict):
            await _quietly(_write(variable(new_slug), value))
    await forget_notes(slug)


async def forget_notes(slug: str) -> None:
    """Forget what is known of a connection."""
    for name in (_sign_in_variable(slug), _use_variable(slug)):
        await _quietly(_delete(name))


def _sign_in_variable(slug: str) -> str:
    return f"segment-export-sign-in-{slug}"


def _use_variable(slug: str) -> str:
    return f"segment-export-last-use-{slug}"


async def _quietly(work: Awaitable[object]) -> object:
    """Let an API that does not answer keep nobody from what matters more."""
    try:
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            return await work
    except (httpx.HTTPError, ObjectAlreadyExists, ObjectNotFound, TimeoutError):
        return None


async def _read(name: str) -> object:
    async with get_client() as client:
        variable = await client.read_variable_by_name(name)
    return variable.value if variable else None


async def _write(name: str, value: dict[str, Any]) -> None:
    async with get_client() as client:
        if not await _update(client, name, value):
            await client.create_variable(VariableCreate(name=name, value=value))


async def _update(client: PrefectClient, name: str, value: dict[str, Any]) -> bool:
    try:
        await client.update_variable(VariableUpdate(name=name, value=value))
    except httpx.HTTPStatusError as error:
        if error.response.status_code == HTTPStatus.NOT_FOUND:
            return False
        raise
    return True


async def _delete(name: str) -> None:
    async with get_client() as client:
        await client.delete_variable_by_name(name)
