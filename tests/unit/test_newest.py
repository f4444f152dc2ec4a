"""Which snapshot a list has got last, where Prefect's API cannot tell."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from pipeline import prepare
from schemas.export import ExportRequest
from tasks.errors import ExportRefused, SnapshotOvertaken
from tasks.newest import require_newest
from tasks.newest_mark import stop_if_overtaken
from tasks.session import ExportSession, new_session
from tasks.shared_api import EMBEDDED_API_VARIABLE

NOBODY = "http://127.0.0.1:9/api"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def silent_api(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(EMBEDDED_API_VARIABLE, NOBODY)  # no lease is waited for
    with temporary_settings({PREFECT_API_URL: NOBODY}):
        yield


def begin(folder: Path, *, segment: str = "Gold", **more: str | bool) -> ExportSession:
    pl.DataFrame(
        {
            "CustomerId": ["a", "b"],
            "EMail": ["a@example.com", "not an address"],
            "Segments": [["Gold"], ["Refused"]],
        }
    ).write_parquet(folder / "2026-03-01.parquet")
    name = "{as_of}" if "as_of" in more else "2026-03-01"
    request = ExportRequest(
        connection="c",
        list_id="l",
        profiles=str(folder / f"{name}.parquet"),
        segments=(segment,),
        segments_column="Segments",
        email="EMail",
        **more,  # type: ignore[arg-type]  # texts and one switch
    )
    with new_session(request) as session:
        session.list_id, session.list_name = "l", "List"
        session.prepared = prepare(request)
        return session


@pytest.mark.anyio
async def test_dated_snapshot_is_refused_where_nobody_can_tell_what_the_list_has(
    tmp_path: Path,
) -> None:
    with pytest.raises(ExportRefused, match=r"API cannot tell.*“List”") as refused:
        await require_newest(begin(tmp_path, as_of="2026-03-01"))
    assert not isinstance(refused.value, SnapshotOvertaken)


@pytest.mark.anyio
@pytest.mark.parametrize("more", [{}, {"as_of": "2026-03-01", "overwrite_newer": True}])
async def test_run_that_may_overwrite_goes_on_and_notes_that_its_date_is_not_known(
    tmp_path: Path, more: dict[str, str | bool]
) -> None:
    session = begin(tmp_path, **more)
    await require_newest(session)
    assert any("does not take the date" in note for note in session.notes)


@pytest.mark.anyio
async def test_run_under_way_goes_on_where_nobody_can_tell_of_a_newer_one(tmp_path: Path) -> None:
    session = begin(tmp_path, as_of="2026-03-01")
    await stop_if_overtaken(session)
    assert session.stop is None


@pytest.mark.anyio
async def test_run_without_contacts_asks_nobody(tmp_path: Path) -> None:
    session = begin(tmp_path, segment="Refused", as_of="2026-03-01")
    await require_newest(session)
    assert session.notes == []
