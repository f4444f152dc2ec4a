"""Where a connection's tokens are kept, while Prefect's API does not answer or others may renew."""

from collections.abc import Iterator

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

import tasks.token_store
from constant_contact import SignInOutOfReach, SignInUnavailable
from tasks.leases import Lease
from tasks.token_store import ConnectionTokenStore

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def nobody() -> Iterator[None]:
    # The port of the discard service, which nobody offers.
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        yield


@pytest.mark.parametrize("call", ["load", "begin"])
async def test_outage_of_prefect_is_no_defect_but_passes(call: str) -> None:
    store = ConnectionTokenStore("acme")
    with pytest.raises(SignInOutOfReach, match=r"Prefect's API, .* \(ConnectError\); run again"):
        await getattr(store, call)()


async def test_nobody_renews_a_sign_in_that_another_machine_may_be_renewing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks.token_store, "PREFECT_PATIENCE_S", 0.0)
    with pytest.raises(SignInOutOfReach, match="does not say whether another machine is renewing"):
        async with ConnectionTokenStore("acme").lock():
            raise AssertionError("it went on alone")


@pytest.mark.parametrize(
    ("is_lost", "error"), [(True, SignInUnavailable), (False, SignInOutOfReach)]
)
async def test_turn_that_another_machine_may_have_taken_spends_no_refresh_token(
    is_lost: bool, error: type[Exception]
) -> None:
    now = 0.0
    store = ConnectionTokenStore("acme")
    store._lease = Lease(expires_s=20.0, clock=lambda: now)
    store._lease.variable_id = "held"
    store._lease.is_lost = is_lost
    now = 30.0
    with pytest.raises(error, match=r"nother machine"):
        await store.begin()
