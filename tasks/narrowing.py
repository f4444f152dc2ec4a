"""Narrow a refused batch down to the contacts at fault, so that they hold back nobody else."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from constant_contact import RequestRefused
from pipeline import ContactBatch, halve
from schemas.outcome import BatchState
from tasks.session import ExportSession

# One contact at fault among 39,999 takes 31 requests: two a halving. This many are two minutes at
# the pace that the API allows, and a twenty-fifth of a day's quota.
MOST_PART_REQUESTS = 400

# As long as nothing of a batch is taken, large parts go first, as one of them may hold nobody at
# fault. After so many refusals single contacts are tried, and after so many of these in vain it is
# not the contacts.
MOST_LARGE_REFUSALS = 14
MOST_ALONE_UNPROVEN = 8

_ABOUT_CONTENTS = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)

Upload = Callable[[ContactBatch], Awaitable[RequestRefused | None]]


class Narrowing:
    """Deliver the parts of one batch, and decide what a refusal of them means.

    `upload` sends a part and returns the refusal, if it was refused; `enter` lists a part among the
    session's batches, and says whether it has arrived already.
    """

    def __init__(
        self, session: ExportSession, *, upload: Upload, enter: Callable[[ContactBatch], bool]
    ) -> None:
        self._session = session
        self._upload = upload
        self._enter = enter
        self._unproven: list[tuple[ContactBatch, list[ContactBatch]]] = []
        self._refusal: RequestRefused | None = None

    async def deliver(self, whole: ContactBatch) -> None:
        """Upload a batch; where it is refused its halves, down to the contacts at fault.

        Those refused alone count as rejected once another part of their batch was taken.
        """
        waiting, alone, refusals = [whole], list[ContactBatch](), 0
        while waiting and self._session.stop is None:
            part = self._choose(waiting, refusals)
            waiting.remove(part)
            refusal = await self._upload(part)
            if refusal is None:
                continue
            refusals += 1
            self._refusal = self._refusal or refusal
            if refusal.status not in _ABOUT_CONTENTS or self._is_pointless():
                self._give_up(part)
            elif part.rows == 1:
                alone.append(part)
                if len(alone) >= MOST_ALONE_UNPROVEN and not self._has_arrived(whole.number):
                    self._take_back(whole)
                    return
            elif self._session.parts_sent >= MOST_PART_REQUESTS:
                self._give_up(part)
                self._session.note(
                    f"Looking for the contacts at fault ended after {MOST_PART_REQUESTS:,} "
                    "requests; the parts that are left are reported as refused."
                )
            else:
                self._session.note(
                    f"Batch {whole.number} was refused (status {refusal.status}): it is halved to "
                    "find the contacts at fault."
                )
                waiting[:0] = await self._halve(part)
        if self._has_arrived(whole.number):
            self._reject(alone)
        elif alone:
            self._unproven.append((whole, alone))

    def conclude(self) -> None:
        """Settle, when no upload is under way any more, what nothing of the own batch proves.

        Where nothing at all was taken it need not be because of the contacts.
        """
        for whole, alone in self._unproven:
            if self._has_arrived():
                self._reject(alone)
            elif self._session.stop is None:
                self._take_back(whole)
            # Else the run ended in the middle, and the next one finds out.

    def _reject(self, alone: list[ContactBatch]) -> None:
        for part in alone:
            del self._session.batches[part.number, part.first]
            self._session.refused.append(part.first)

    def _choose(self, waiting: list[ContactBatch], refusals: int) -> ContactBatch:
        if self._has_arrived(waiting[0].number):
            return waiting[0]
        return (max if refusals < MOST_LARGE_REFUSALS else min)(waiting, key=lambda one: one.rows)

    def _is_pointless(self) -> bool:
        return self._session.halving_is_pointless and not self._has_arrived()

    async def _halve(self, part: ContactBatch) -> list[ContactBatch]:
        halves = await asyncio.to_thread(halve, part)
        del self._session.batches[part.number, part.first]
        unsent = [half for half in halves if not self._enter(half)]
        self._session.parts_sent += len(unsent)
        return unsent

    def _take_back(self, whole: ContactBatch) -> None:
        """List a batch as refused as a whole: nothing of it was taken, whoever was in it."""
        inside = range(whole.first, whole.first + whole.rows)
        for key in [k for k in self._session.batches if k[0] == whole.number and k[1] in inside]:
            del self._session.batches[key]
        self._enter(whole)
        self._give_up(whole)
        self._session.halving_is_pointless = not self._has_arrived()

    def _give_up(self, part: ContactBatch) -> None:
        key = part.number, part.first
        batch = self._session.batches[key]
        self._session.batches[key] = batch.model_copy(update={"state": BatchState.REFUSED})
        self._session.note(
            f"Batch {part.number} was refused, and so were the parts of it that were tried: "
            f"{self._refusal}"
        )

    def _has_arrived(self, number: int | None = None) -> bool:
        return any(
            batch.activity_id is not None
            for (its_number, _), batch in self._session.batches.items()
            if number in (None, its_number)
        )
