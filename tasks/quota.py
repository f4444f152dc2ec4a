"""Count the day's requests over all machines, and tell beforehand when an export cannot fit.

A count is kept, never the service's verdict: that the quota was used up says nothing of tomorrow.
Each machine counts in its pace file and publishes that in a Prefect variable of its own, which no
other writes; so nothing is lost between two who count at once.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from typing import Any

import anyio
import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import VariableCreate, VariableUpdate
from prefect.exceptions import ObjectNotFound

from constant_contact import MachinePacer, phrase_quota_return
from tasks.locks import machine_id
from tasks.repeating import repeating
from tasks.shared_api import has_shared_api

PUBLISH_EVERY_S = 60.0
ANSWER_TIMEOUT_S = 5.0
MOST_MACHINES = 200
KEPT_FOR = timedelta(days=2)


def forecast_quota(needed: int, *, used: int, daily: int, now: datetime) -> str | None:
    """Say why an export does not fit into what is left of today's quota; None when it does."""
    if needed > daily:
        return (
            f"This export needs up to {needed:,} requests, and a day's quota is {daily:,}: export "
            "smaller segments or send fewer attributes."
        )
    if used + needed <= daily:
        return None
    return (
        f"{used:,} of {daily:,} requests of today's quota are used under this API key, and this "
        f"export needs up to {needed:,}; the quota returns {phrase_quota_return(now)}. "
        "Run it then."
    )


def spread_over_days(needs: Sequence[int], *, used: int, daily: int) -> list[int]:
    """Say on which day, from 1, there is quota for each of some exports, one after another."""
    days, day, left = [], 1, daily - used
    for needed in needs:
        if needed > left:
            day, left = day + 1, daily
        left -= needed
        days.append(day)
    return days


class DailyQuota:
    """Today's requests under one API key: this machine's, and those that others published."""

    def __init__(self, machine: MachinePacer, key_digest: str, *, daily: int) -> None:
        self.daily = daily
        self._machine = machine
        self._prefix = f"segment-export-used-{key_digest}-"
        self._published = -1

    async def count_used(self) -> int:
        """Count today's requests; those of this machine only, where Prefect's API is silent."""
        used = self._machine.used_today()
        if not has_shared_api():
            return used
        with suppress(Exception):  # a count that is too low is found out by the service
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                stored = await self._read_published()
            ours = stored.pop(self._own_name, 0)
            # More than the file says, when that was emptied.
            return sum(stored.values()) + max(used, ours)
        return used

    async def publish(self) -> None:
        """Tell other machines how many requests this one has begun today."""
        used = self._machine.used_today()
        if used == self._published or not has_shared_api():
            return
        value: dict[str, Any] = {"day": _today().isoformat(), "used": used}
        async with get_client() as client:
            try:
                await client.update_variable(VariableUpdate(name=self._own_name, value=value))
            except httpx.HTTPStatusError as error:
                if error.response.status_code != HTTPStatus.NOT_FOUND:
                    raise
                await client.create_variable(VariableCreate(name=self._own_name, value=value))
        self._published = used

    @property
    def _own_name(self) -> str:
        return f"{self._prefix}{machine_id()}"

    async def _read_published(self) -> dict[str, int]:
        """Read today's counts by their variables, and remove what machines left long ago."""
        used: dict[str, int] = {}
        filters = {"variables": {"name": {"like_": self._prefix}}, "limit": MOST_MACHINES}
        async with get_client() as client:
            answer = await client.request("POST", "/variables/filter", json=filters)
            for variable in answer.json():
                day = date.fromisoformat(variable["value"]["day"])
                if day == _today():
                    used[variable["name"]] = int(variable["value"]["used"])
                elif day < _today() - KEPT_FOR:
                    with suppress(ObjectNotFound):  # another machine was faster
                        await client.delete_variable_by_name(variable["name"])
        return used


@asynccontextmanager
async def publishing(quota: DailyQuota) -> AsyncIterator[None]:
    """Publish this machine's count every minute and at the end."""

    async def attempt() -> bool:
        with suppress(Exception):  # the next time will do
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await quota.publish()
        return True

    try:
        async with repeating(attempt, every_s=PUBLISH_EVERY_S, takes_s=ANSWER_TIMEOUT_S):
            yield
    finally:
        with anyio.move_on_after(ANSWER_TIMEOUT_S, shield=True), suppress(Exception):
            await quota.publish()


def _today() -> date:
    return datetime.now(UTC).date()
