"""A run that is still uploading when a newer snapshot comes to its list stops before it goes on."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from uuid import uuid4

import polars as pl
import pytest

from constant_contact import MaySend
from sandbox import Fault
from schemas.export import ExportRequest
from tasks.batches import _may_send
from tasks.newest_mark import mark_name, write_mark
from tasks.session import new_session
from tests.conftest import PrefectServer, World, using_prefect


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
        assert await _may_send(session) is MaySend.YES
        await write_mark(mark, date(2026, 3, 2))
        assert await _may_send(session) is (MaySend.NO if is_stopped else MaySend.YES)
        if not is_stopped:
            assert session.stop is None
            return
        assert session.stop is not None
        assert not session.stop.can_continue
        assert "2026-03-01" in session.stop.reason
        assert "2026-03-02" in session.stop.reason


def uploads(world: World) -> int:
    return len(world.box.state.requests("file_import"))


def test_batch_that_waits_for_room_in_the_queue_stays_when_a_newer_snapshot_comes(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pl.DataFrame(
        {"CustomerId": ["c1"], "EMail": ["late@example.com"], "Segments": [["Gold"]]}
    ).write_parquet(tmp_path / "2026-03-01.parquet")
    before = uploads(world)

    async def read_mark(_mark: str, **_: float) -> date:
        return date(2026, 3, 1 if uploads(world) == before else 2)

    monkeypatch.setattr("tasks.newest_mark.read_mark", read_mark)
    full = '[{"error_key":"too_many_activities"}]'
    world.box.script(Fault("file_import", "status", status=429, body=full))
    done = world.export(
        "--profiles", tmp_path / "{as_of}.parquet", "--as-of", "2026-03-01",
        "--segment", "Gold", "--email", "EMail",
    )  # fmt: skip
    assert done.code == 2, done.err
    assert "has got the contacts of 2026-03-02" in done.document["message"]
    assert uploads(world) == before + 1
    assert world.members() == {}
