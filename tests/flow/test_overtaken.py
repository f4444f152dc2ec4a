"""A run that is still uploading when a newer snapshot comes to its list stops before it goes on."""

from collections.abc import Iterator
from datetime import date
from uuid import uuid4

import pytest

from schemas.export import ExportRequest
from tasks.batches import _may_send
from tasks.newest_mark import mark_name, write_mark
from tasks.session import new_session
from tests.conftest import PrefectServer, using_prefect


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def prefect(prefect_server: PrefectServer) -> Iterator[None]:
    with using_prefect(prefect_server.api_url):
        yield


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("more", "is_stopped"),
    [
        ({"as_of": "2026-03-01"}, True),
        ({"as_of": "2026-03-01", "overwrite_newer": True}, False),
        ({}, False),
    ],
)
async def test_next_batch_goes_only_while_no_newer_snapshot_has_begun(
    more: dict[str, str | bool], is_stopped: bool
) -> None:
    request = ExportRequest(
        connection="c",
        list_id="l",
        profiles="p",
        segments=("Gold",),
        email="EMail",
        **more,  # type: ignore[arg-type]  # texts and one switch
    )
    with new_session(request) as session:
        session.list_id, session.list_name = uuid4().hex, "List"
        mark = mark_name(session.list_id, request)
        await write_mark(mark, date(2026, 3, 1))
        assert await _may_send(session)
        await write_mark(mark, date(2026, 3, 2))
        assert await _may_send(session) is not is_stopped
        if not is_stopped:
            assert session.stop is None
            return
        assert session.stop is not None
        assert not session.stop.can_continue
        assert "2026-03-01" in session.stop.reason
        assert "2026-03-02" in session.stop.reason
