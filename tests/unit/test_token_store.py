"""Where a connection's tokens are kept, while Prefect's API does not answer."""

from collections.abc import Iterator

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from constant_contact import SignInOutOfReach
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
