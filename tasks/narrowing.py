"""Narrow a refused batch down to the contacts at fault, so that they hold back nobody else."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from constant_contact import RequestRefused
from pipeline import ContactBatch, halve
from schemas.outcome import BatchState
from tasks.session import ExportSession

# One contact at fault among 39,999 takes 31 requests: two a halving. Each batch has as many of its
# own, so that a hundred contacts at fault in one hold back nobody of another; beyond them all
# batches together have this many, two minutes at the pace that the API allows.
OWN_PART_REQUESTS = 40
MOST_PART_REQUESTS = 400

# As long as nothing of a batch is taken, large parts go first, as one of them may hold nobody at
# fault. After so many refusals single contacts are tried from all over the batch, and after so many
# of these in vain it is not the contacts: where half of them were at fault, one batch in four
# billion would be taken for such.
MOST_LARGE_REFUSALS = 14
MOST_ALONE_UNPROVEN = 32

_ABOUT_CONTENTS = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)

OUT_OF_REQUESTS_NOTE = (
    "Looking for the contacts at fault ended, as it has taken all requests that a run spends on "
    "it; the parts that are left are reported as refused."
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
        self._spent = 0

    async def deliver(self, whole: ContactBatch) -> None:
        """Upload a batch; where it is refused its halves, down to the contacts at fault.

        Those refused alone count as rejected once another part of their batch was taken.
        """
        waiting, alone, refusals = [whole], list[ContactBatch](), 0
        sides = random.Random(whole.digest)  # noqa: S311 -- no secret: the same batch, the same contacts
        while waiting and self._session.stop is None:
            part = max(waiting, key=lambda one: one.rows)
            waiting.remove(part)
            if refusals >= MOST_LARGE_REFUSALS and not self._has_arrived(whole.number):
                part = await self._single_out(part, waiting, sides)
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
                    self._spend(-len(waiting))
                    self._take_back(whole)
                    return
            elif self._has_spent_all():
                self._give_up(part)
                self._session.note(OUT_OF_REQUESTS_NOTE)
            else:
                self._session.note(
                    f"Batch {whole.number} was refused (status {refusal.status}): it is halved to "
                    "find the contacts at fault."
                )
                waiting += await self._halve(part)
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

    async def _single_out(
        self, part: ContactBatch, waiting: list[ContactBatch], sides: random.Random
    ) -> ContactBatch:
        """Halve a part down to one of its contacts, sending nothing; the others wait."""
        while part.rows > 1:
            halves = await self._halve(part)
            self._spend(-1)
            part = halves.pop(sides.randrange(len(halves)))
            waiting += halves
        return part

    def _is_pointless(self) -> bool:
        return self._session.halving_is_pointless and not self._has_arrived()

    async def _halve(self, part: ContactBatch) -> list[ContactBatch]:
        halves = await asyncio.to_thread(halve, part)
        del self._session.batches[part.number, part.first]
        unsent = [half for half in halves if not self._enter(half)]
        self._spend(len(unsent))
        return unsent

    def _spend(self, requests: int) -> None:
        """Count the requests that parts will take, or those that they did not take after all."""
        before = max(self._spent, OWN_PART_REQUESTS)
        self._spent += requests
        self._session.part_requests += max(self._spent, OWN_PART_REQUESTS) - before

    def _has_spent_all(self) -> bool:
        is_own_spent = self._spent >= OWN_PART_REQUESTS
        return is_own_spent and self._session.part_requests >= MOST_PART_REQUESTS

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
