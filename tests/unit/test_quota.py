"""Whether an export fits into what is left of the day's quota."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from constant_contact import MachinePacer
from tasks.quota import DailyQuota, forecast_quota
from tasks.shared_api import EMBEDDED_API_VARIABLE, has_shared_api

EVENING = datetime(2026, 3, 1, 21, 47, tzinfo=UTC)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize(("needed", "used"), [(120, 0), (120, 9_880), (0, 10_000)])
def test_export_that_fits_is_not_held_back(needed: int, used: int) -> None:
    assert forecast_quota(needed, used=used, daily=10_000, now=EVENING) is None


def test_export_that_does_not_fit_says_what_is_used_and_when_to_run() -> None:
    assert forecast_quota(1_120, used=8_881, daily=10_000, now=EVENING) == (
        "8,881 of 10,000 requests of today's quota are used under this API key, and this export "
        "needs up to 1,120; the quota returns at 00:00 UTC, in 2 h 13 min. Run it then."
    )


def test_export_larger_than_a_day_is_not_told_to_wait() -> None:
    assert forecast_quota(10_001, used=0, daily=10_000, now=EVENING) == (
        "This export needs up to 10,001 requests, and a day's quota is 10,000: export smaller "
        "segments or send fewer attributes."
    )


@pytest.mark.anyio
async def test_machine_without_a_shared_api_counts_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://127.0.0.1:9/api"
    monkeypatch.setenv(EMBEDDED_API_VARIABLE, url)
    machine = MachinePacer(tmp_path / "pace", interval_s=0.001)
    quota = DailyQuota(machine, "0123", daily=10)
    with temporary_settings({PREFECT_API_URL: url}):
        for _ in range(4):
            await machine.acquire()
        assert await quota.count_used() == 4


def test_api_is_shared_unless_it_is_the_embedded_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EMBEDDED_API_VARIABLE, "http://127.0.0.1:1/api")
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        assert not has_shared_api()
    with temporary_settings({PREFECT_API_URL: "http://prefect.example.com/api"}):
        assert has_shared_api()
    with temporary_settings({PREFECT_API_URL: None}):
        assert not has_shared_api()
