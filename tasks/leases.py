"""A lock over all machines that share a Prefect server, which its holder's death frees.

The lease is a Prefect variable. Creating one of a name that exists fails, so one machine has it;
its holder rewrites it every few seconds, and whoever waits and sees it unchanged for `expires_s`
deletes it, by its id and thus once, and creates its own. Times are measured by each machine's own
clock, from what it sees itself: a server that is away or restarts frees nothing.

Prefect's own `concurrency()` would end the run when a lease cannot be renewed, and loses leases
when the server restarts.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, replace
from http import HTTPStatus
from typing import Any, Self

import anyio
import httpx
from prefect.client.orchestration import PrefectClient, get_client

from tasks.repeating import Sleep, repeating

EXPIRES_S = 45.0
RENEWALS = 4  # in the time after which a lease expires
POLLS = 20  # by those who wait, in the same time
ANSWER_TIMEOUT_S = 5.0

# Linux's monotonic clock stands still while the machine sleeps, and a lease does not.
_SLEEPLESS_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def elapsed_s() -> float:
    """Tell the time by a clock that nobody sets, and that goes on while the machine sleeps."""
    return time.clock_gettime(_SLEEPLESS_CLOCK)


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a lease; `machine` tells whose processes take turns among themselves already."""

    name: str
    machine: str


class Lease:
    """What somebody holds; without an id they go on alone, as Prefect's API did not answer.

    `is_contested` says that another machine may have been at work since this one saw what is done:
    it was taken over from one that need not be dead, or only after this one had begun alone.
    """

    def __init__(self, *, expires_s: float, clock: Callable[[], float]) -> None:
        self.variable_id: str | None = None
        self.is_lost = False
        self.is_contested = False
        self.renewed_at = clock()
        self._expires_s = expires_s
        self._clock = clock

    @property
    def is_sure(self) -> bool:
        """Say whether nobody else can be at work: it is held, and was renewed in time."""
        return self._is_held and not self.is_contested and not self.is_late

    @property
    def is_late(self) -> bool:
        """Say whether somebody may have taken over, of which the next renewal tells."""
        return self._is_held and self._clock() - self.renewed_at >= self._expires_s

    @property
    def _is_held(self) -> bool:
        return self.variable_id is not None and not self.is_lost


_NOT_PREFECT = "an answer that is not Prefect's"


class _Unanswered(Exception):
    """Prefect's API does not answer as it should."""


@dataclass(frozen=True, slots=True)
class _Value:
    """What the variable holds; `beat` counts its renewals."""

    holder: str
    machine: str
    token: str
    beat: int

    @classmethod
    def read(cls, stored: object) -> Self:
        """Read the variable's value, which anybody may have changed."""
        known = stored if isinstance(stored, dict) else {}
        beat = known.get("beat")
        return cls(
            holder=str(known.get("holder", "somebody")),
            machine=str(known.get("machine")),
            token=str(known.get("token")),
            beat=beat if isinstance(beat, int) else -1,
        )


@asynccontextmanager
async def shared_lease(
    name: str,
    *,
    holder: Holder,
    while_waiting: Callable[[str], None] = lambda _holder: None,
    on_lost: Callable[[], None] = lambda: None,
    on_trouble: Callable[[str], None] = lambda _remark: None,
    expires_s: float = EXPIRES_S,
    patience_s: float | None = None,
    clock: Callable[[], float] = elapsed_s,
    sleep: Sleep = asyncio.sleep,
) -> AsyncIterator[Lease]:
    """Hold a lease of this name over all machines that use the same Prefect server.

    Take it inside this machine's lock of the same name: what the same machine has left behind is
    then taken over at once. `while_waiting` is told who has it, before each further look; what it
    raises ends the waiting. Where the API does not answer for `patience_s`, `on_trouble` is told,
    which may raise; else the work goes on without a lease, which is asked for again and again.
    `on_lost` is told when somebody else is seen at work, as after a long pause or when the API is
    back.
    """
    lease = Lease(expires_s=expires_s, clock=clock)
    async with get_client() as client, AsyncExitStack() as held:
        keeper = _Keeper(
            client,
            f"segment-export-lease-{name}",
            holder,
            lease,
            expires_s=expires_s,
            clock=clock,
            sleep=sleep,
        )
        held.push_async_callback(keeper.release)
        try:
            await keeper.take(while_waiting, patience_s)
        except _Unanswered as error:
            on_trouble(
                "Prefect's API cannot tell whether another machine is at work on the same "
                f"({error}); this run goes on."
            )
        await held.enter_async_context(
            repeating(
                lambda: keeper.keep(on_lost),
                every_s=expires_s / RENEWALS,
                takes_s=ANSWER_TIMEOUT_S,
                sleep=sleep,
            )
        )
        yield lease


@dataclass(slots=True)
class _Sighting:
    """What a waiter has seen of the lease that another holds, by the waiter's clock."""

    answered_at: float
    holder: str = ""
    beat: tuple[str, int] | None = None
    unchanged_since: float = 0.0
    is_alive: bool = False

    def see(self, value: _Value) -> None:
        """Note what the lease holds now."""
        self.holder = value.holder
        beat = (value.token, value.beat)
        self.is_alive = self.beat not in {None, beat}
        if self.beat != beat:
            self.beat, self.unchanged_since = beat, self.answered_at

    def lose_sight(self) -> None:
        """Let the holder's time begin anew: while nobody answers it cannot renew either."""
        self.beat = None


class _Keeper:
    """Take, renew and release one lease."""

    def __init__(
        self,
        client: PrefectClient,
        name: str,
        holder: Holder,
        lease: Lease,
        *,
        expires_s: float,
        clock: Callable[[], float],
        sleep: Sleep,
    ) -> None:
        self._client = client
        self._name = name
        self._lease = lease
        self._expires_s = expires_s
        self._answered_at = clock()
        self._sighting = _Sighting(answered_at=clock())
        self._clock = clock
        self._sleep = sleep
        self._value = _Value(holder.name, holder.machine, uuid.uuid4().hex, beat=0)

    async def take(self, while_waiting: Callable[[str], None], patience_s: float | None) -> None:
        """Return when the lease is ours.

        Raises:
            _Unanswered: the API does not answer as it should, and does not for a while.
        """
        sighting = self._sighting
        while True:
            try:
                if await self._try_once():
                    return
            except _Unanswered:
                # Who is known to be at work is waited for longer than who may be.
                own_s = self._expires_s if sighting.holder else self._expires_s / RENEWALS
                waits_s = own_s if patience_s is None else patience_s
                if self._clock() - sighting.answered_at >= waits_s:
                    raise
                sighting.lose_sight()
            if sighting.holder:
                while_waiting(sighting.holder)
            await self._sleep(self._expires_s / POLLS)

    async def _try_once(self) -> bool:
        """Create the lease, after removing one that nobody keeps any more."""
        sighting = self._sighting
        if await self._create():
            return True
        found = await self._read()
        sighting.answered_at = self._clock()
        if found is None:
            return await self._create()  # it was released between the two
        value = _Value.read(found["value"])
        if value.token == self._value.token:  # created, but the answer was lost
            self._lease.variable_id = found["id"]
            return True
        sighting.see(value)
        is_ours = value.machine == self._value.machine
        if is_ours or sighting.answered_at - sighting.unchanged_since >= self._expires_s:
            self._lease.is_contested |= not is_ours
            await self._delete(found["id"])
            return await self._create()
        return False

    async def _take_late(self) -> None:
        """Take what could not be asked for before, unless another is seen at work."""
        try:
            if await self._try_once():
                self._lease.is_contested = True
            elif self._sighting.is_alive:
                self._lease.is_lost = True
        except _Unanswered:
            self._sighting.lose_sight()

    async def keep(self, on_lost: Callable[[], None]) -> bool:
        """Renew the lease, or ask for it again, and say whether that is to go on."""
        if self._lease.variable_id is None:
            await self._take_late()
        else:
            with suppress(_Unanswered):  # nobody can take over before they hear from it either
                await self.renew()
        if self._lease.is_lost:
            on_lost()
        return not self._lease.is_lost

    async def renew(self) -> None:
        """Show that the holder lives, or learn that somebody has taken over."""
        self._value = replace(self._value, beat=self._value.beat + 1)
        begun_at = self._clock()
        path = f"/variables/{self._lease.variable_id}"
        answer = await self._request("PATCH", path, {"value": asdict(self._value)})
        if answer.status_code == HTTPStatus.NOT_FOUND:
            self._lease.is_lost = True
            return
        if answer.status_code != HTTPStatus.NO_CONTENT:
            raise _Unanswered(_NOT_PREFECT)
        # After a silence somebody may be about to take over: then the next renewal tells.
        if begun_at - self._answered_at < self._expires_s:
            self._lease.renewed_at = begun_at
        self._answered_at = begun_at

    async def release(self) -> None:
        """Let the next one have it, also when the run was cancelled."""
        if self._lease.variable_id is None:
            return
        with anyio.CancelScope(shield=True), suppress(_Unanswered):  # it expires by itself
            await self._delete(self._lease.variable_id)

    async def _create(self) -> bool:
        self._lease.renewed_at = self._answered_at = self._clock()
        body = {"name": self._name, "value": asdict(self._value)}
        answer = await self._request("POST", "/variables/", body)
        if answer.status_code == HTTPStatus.CONFLICT:
            return False
        self._lease.variable_id = _read_variable(answer)["id"]
        return True

    async def _read(self) -> dict[str, Any] | None:
        answer = await self._request("GET", f"/variables/name/{self._name}")
        return None if answer.status_code == HTTPStatus.NOT_FOUND else _read_variable(answer)

    async def _delete(self, variable_id: str) -> None:
        await self._request("DELETE", f"/variables/{variable_id}")

    async def _request(
        self, method: Any, path: Any, body: dict[str, Any] | None = None
    ) -> httpx.Response:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await self._client.request(method, path, json=body)
        except httpx.HTTPStatusError as error:
            if error.response.status_code in {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}:
                return error.response
            raise _Unanswered(f"status {error.response.status_code}") from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise _Unanswered(type(error).__name__) from error


def _read_variable(answer: httpx.Response) -> dict[str, Any]:
    """Read a variable from an answer that a proxy may have given in Prefect's place."""
    try:
        found = answer.json()
    except ValueError as error:
        raise _Unanswered(_NOT_PREFECT) from error
    if not isinstance(found, dict) or not isinstance(found.get("id"), str):
        raise _Unanswered(_NOT_PREFECT)
    return {"value": None, **found}
