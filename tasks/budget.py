"""Requests that an export needs, held against what is left of the day's quota."""

import asyncio
from collections.abc import Sequence

from constant_contact import DAILY_REQUESTS
from pipeline import MOST_CONTACT_LINES
from schemas.plan import PlannedBatch, PlannedRequests
from tasks.batches import cut_as_accepted, describe_batch, longest_csv_bytes
from tasks.errors import QuotaTooSmall
from tasks.journal import is_to_repeat, leave_behind
from tasks.quota import forecast_quota
from tasks.role_addresses import look_for_roles
from tasks.session import ExportSession

# Rounds of polling for imports that take ten minutes: from 1 s, backing off to 30 s.
POLLS_EXPECTED = 30

# The list, the custom fields and the journal with a page more of each.
LOOKUPS_EXPECTED = 6

# No contact takes more than this many times its share of a request: 25 attributes of 255
# characters are 65 times as long as an address.
MOST_BATCHES_PER_FULL_ONE = 100


async def require_quota(session: ExportSession) -> None:
    """Refuse an export that does not fit into what is left of today's requests.

    Batches are counted only where it may be close, as that reads the profiles once more.

    Raises:
        QuotaTooSmall: saying when the quota returns.
    """
    if session.quota is None:
        return
    used = await session.quota.count_used()
    sent = session.require_prepared().verdicts.sent
    at_most = -(-sent // MOST_CONTACT_LINES) * MOST_BATCHES_PER_FULL_ONE
    if used + at_most + POLLS_EXPECTED + LOOKUPS_EXPECTED <= session.quota.daily:
        return
    requests = await plan_requests(session, await plan_batches(session))
    trouble = forecast_quota(
        requests.needed, used=requests.used_today, daily=requests.daily, now=session.now()
    )
    if trouble is not None and requests.uploads:
        raise QuotaTooSmall(trouble)


async def plan_batches(session: ExportSession) -> tuple[PlannedBatch, ...]:
    """Cut all batches, sending none, and say which an earlier run has got accepted.

    When a complete delivery is to be sent once more, it is that repeat.
    """
    planned = await asyncio.to_thread(_plan_batches, session)
    if is_to_repeat(session, planned):
        leave_behind(session)
        planned = await asyncio.to_thread(_plan_batches, session)
    return planned


def _plan_batches(session: ExportSession) -> tuple[PlannedBatch, ...]:
    planned = []
    for batch in session.require_prepared().iter_batches(longest_csv_bytes(session)):
        look_for_roles(session, batch)
        for part in cut_as_accepted(session, batch):
            outcome, activity = describe_batch(session, part)
            planned.append(
                PlannedBatch(
                    file_name=outcome.file_name,
                    rows=outcome.rows,
                    bytes=outcome.bytes,
                    state=outcome.state,
                    already_accepted=activity is not None,
                )
            )
    return tuple(planned)


async def plan_requests(session: ExportSession, batches: Sequence[PlannedBatch]) -> PlannedRequests:
    """Count the requests that a run would need, and those used today."""
    uploads = sum(not batch.already_accepted for batch in batches)
    polls = POLLS_EXPECTED if uploads else 0
    return PlannedRequests(
        needed=uploads + polls + LOOKUPS_EXPECTED,
        uploads=uploads,
        used_today=await session.quota.count_used() if session.quota else 0,
        daily=session.quota.daily if session.quota else DAILY_REQUESTS,
    )
