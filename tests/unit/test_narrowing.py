"""Which contacts a refused batch is narrowed down to, wherever they stand and however it ends."""

from datetime import UTC, datetime

import pytest

from constant_contact import RequestRefused
from pipeline import ContactBatch
from pipeline.batches import digest_of
from pipeline.outcome import Stop
from schemas.export import ExportRequest
from schemas.outcome import BatchOutcome, BatchState
from tasks.narrowing import MOST_PART_REQUESTS, OWN_PART_REQUESTS, Narrowing
from tasks.session import ExportSession, Handover

pytestmark = pytest.mark.anyio


class Service:
    """Takes every file but those that hold one of some contacts."""

    def __init__(
        self, rows: int, bad: set[int], *, number: int = 1, beside: "Service | None" = None
    ) -> None:
        request = ExportRequest(
            connection="c", list_id="l", profiles="p", segments=("s",), email="e"
        )
        own = ExportSession(request, Handover(), datetime.now(UTC))
        self.session = beside.session if beside else own
        self.bad = {f"p{n}@x" for n in bad}
        self.taken: list[str] = []
        self.requests = 0
        self.stops_after: int | None = None
        self.status = 400
        emails = [f"p{n}@x" for n in range(rows)]
        body = "\r\n".join(["email", *emails, ""]).encode()
        first = beside.whole.rows if beside else 0
        self.whole = ContactBatch(number, first, rows, body, digest_of(body))
        self.narrowing = Narrowing(self.session, upload=self.upload, enter=self.enter)

    def enter(self, batch: ContactBatch) -> bool:
        self.session.batches[batch.number, batch.first] = BatchOutcome(
            file_name=batch.digest,
            rows=batch.rows,
            bytes=len(batch.body),
            state=BatchState.NOT_SENT,
        )
        return False

    async def upload(self, batch: ContactBatch) -> RequestRefused | None:
        self.requests += 1
        key = batch.number, batch.first
        known = self.session.batches[key]
        if self.requests == self.stops_after:
            self.session.stop = Stop("the window has ended", can_continue=True)
            self.session.batches[key] = known.model_copy(update={"state": BatchState.UNKNOWN})
            return None
        contacts = batch.body.decode().split()[1:]
        if self.bad & set(contacts):
            return RequestRefused(status=self.status)
        self.taken += contacts
        self.session.batches[key] = known.model_copy(
            update={"activity_id": "a", "state": BatchState.COMPLETED}
        )
        return None

    async def run(self) -> None:
        self.enter(self.whole)
        await self.narrowing.deliver(self.whole)
        self.narrowing.conclude()

    @property
    def states(self) -> set[BatchState]:
        return {batch.state for batch in self.session.batches.values()}

    def rows_in_batches(self) -> int:
        return sum(batch.rows for batch in self.session.batches.values())


@pytest.mark.parametrize(
    "bad",
    [{0}, {999}, {0, 1, 2}, {997, 998, 999}, {500, 501, 502, 503}, {3, 333, 666}, set(range(8))],
)
async def test_contacts_at_fault_are_found_wherever_they_stand(bad: set[int]) -> None:
    service = Service(1_000, bad)
    await service.run()
    assert set(service.session.refused) == bad
    assert len(service.taken) == len(set(service.taken)) == 1_000 - len(bad)
    assert service.states == {BatchState.COMPLETED}
    assert service.rows_in_batches() == 1_000 - len(bad)


async def test_one_at_fault_in_a_full_batch_takes_two_requests_a_halving() -> None:
    service = Service(39_999, {12_345})
    await service.run()
    assert service.session.refused == [12_345]
    assert service.requests <= 33


async def test_many_spread_contacts_at_fault_do_not_pass_for_a_refusal_of_all() -> None:
    service = Service(400, set(range(0, 400, 10)))
    await service.run()
    assert set(service.session.refused) == set(range(0, 400, 10))
    assert len(service.taken) == 360


SCATTERED = set(range(1_000, 39_999, 2_500))


@pytest.mark.parametrize(
    ("bad", "least_taken"),
    [
        (SCATTERED | set(range(14_823, 15_023)), 39_000),
        (SCATTERED | set(range(20_000)), 18_000),
        (set(range(0, 39_999, 2)), 1),
        (set(range(39_999)) - {7}, 0),
    ],
    ids=["a cluster among scattered ones", "the first half", "every other", "all but one"],
)
async def test_contacts_at_fault_all_over_a_batch_hold_back_few_others(
    bad: set[int], least_taken: int
) -> None:
    service = Service(39_999, bad)
    await service.run()
    assert len(service.taken) >= least_taken
    assert service.requests <= OWN_PART_REQUESTS + MOST_PART_REQUESTS + 2
    assert set(service.session.refused) <= bad
    assert service.rows_in_batches() + len(service.session.refused) == 39_999
    assert ((1, 0) in service.session.batches) or service.taken


async def test_contacts_at_fault_in_one_batch_leave_requests_to_find_those_in_another() -> None:
    full = Service(20_000, set(range(0, 20_000, 20)))
    await full.run()
    assert full.session.part_requests >= MOST_PART_REQUESTS
    other = Service(39_999, {12_345}, number=2, beside=full)
    await other.run()
    assert other.session.refused[-1] == 20_000 + 12_345
    assert len(other.taken) == 39_998


async def test_requests_that_parts_of_a_hopeless_batch_did_not_take_are_left_to_others() -> None:
    service = Service(39_999, set(range(39_999)))
    await service.run()
    assert service.session.part_requests <= service.requests


@pytest.mark.parametrize("rows", [1, 2, 5, 40, 39_999])
async def test_batch_of_which_nothing_is_taken_is_refused_as_a_whole(rows: int) -> None:
    service = Service(rows, set(range(rows)))
    await service.run()
    assert service.session.refused == []
    assert service.states == {BatchState.REFUSED}
    assert list(service.session.batches) == [(1, 0)]
    assert service.rows_in_batches() == rows
    assert service.requests <= 60


async def test_search_ends_within_its_requests_and_leaves_what_is_unclear_refused() -> None:
    bad = set(range(0, 20_000, 20))
    service = Service(20_000, bad)
    await service.run()
    assert service.requests <= OWN_PART_REQUESTS + MOST_PART_REQUESTS + 2
    assert set(service.session.refused) <= bad
    assert service.states == {BatchState.COMPLETED, BatchState.REFUSED}
    assert service.rows_in_batches() + len(service.session.refused) == 20_000


@pytest.mark.parametrize("stops_after", range(2, 13))
async def test_run_that_ends_in_the_middle_calls_nothing_refused(stops_after: int) -> None:
    service = Service(16, {0})
    service.stops_after = stops_after
    await service.run()
    assert BatchState.REFUSED not in service.states
    assert service.rows_in_batches() + len(service.session.refused) == 16
    if service.session.stop:
        assert BatchState.UNKNOWN in service.states
    assert service.session.refused in ([], [0])
    assert not service.session.refused or service.taken


async def test_refusal_that_is_not_about_contents_is_not_narrowed() -> None:
    service = Service(100, {7})
    service.status = 415
    await service.run()
    assert service.requests == 1
    assert service.states == {BatchState.REFUSED}


async def test_contact_refused_beside_a_batch_that_arrives_later_is_rejected() -> None:
    service = Service(1, {0})
    service.enter(service.whole)
    await service.narrowing.deliver(service.whole)
    service.session.batches[2, 1] = BatchOutcome(
        file_name="other", rows=9, bytes=9, activity_id="b", state=BatchState.COMPLETED
    )
    service.narrowing.conclude()
    assert service.session.refused == [0]
    assert list(service.session.batches) == [(2, 1)]
