"""A used-up quota says when it returns."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from constant_contact import QuotaExceeded, phrase_quota_return

LISTS = "GET /v3/contact_lists"


@pytest.mark.parametrize(
    ("hour", "minute", "second", "phrase"),
    [
        (21, 47, 0, "at 00:00 UTC, in 2 h 13 min"),
        (21, 46, 1, "at 00:00 UTC, in 2 h 14 min"),
        (22, 0, 0, "at 00:00 UTC, in 2 h 0 min"),
        (23, 30, 0, "at 00:00 UTC, in 30 min"),
        (23, 59, 59, "at 00:00 UTC, in 1 min"),
        (0, 0, 0, "at 00:00 UTC, in 24 h 0 min"),
    ],
)
def test_return_of_the_quota_is_told_as_a_time_and_a_wait(
    hour: int, minute: int, second: int, phrase: str
) -> None:
    assert phrase_quota_return(datetime(2026, 3, 1, hour, minute, second, tzinfo=UTC)) == phrase


def test_return_of_the_quota_is_by_utc_wherever_the_clock_is() -> None:
    there = timezone(timedelta(hours=5, minutes=30))
    assert phrase_quota_return(datetime(2026, 3, 2, 3, 17, tzinfo=there)).endswith("in 2 h 13 min")


@pytest.mark.anyio
async def test_a_used_up_quota_says_how_long_it_takes(stage: Any, answer: Any) -> None:
    stage.time.now = datetime(2026, 3, 1, 21, 47, tzinfo=UTC).timestamp()
    stage.store.tokens = stage.store.tokens.__class__.of(
        access_token="a", refresh_token="r", expires_at=stage.time.now + 3600
    )
    stage.script.on(LISTS, answer(429, {"error_key": "quota_exceeded"}))
    async with stage.client() as client:
        for _ in range(2):  # the service says so the first time, the client the second
            with pytest.raises(QuotaExceeded, match=r"00:00 UTC, in 2 h 13 min\. Run again then"):
                await client.get_lists()
    assert stage.script.count(LISTS) == 1
