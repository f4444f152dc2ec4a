"""Waiting for what another process will do."""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import httpx
import tenacity

PATIENCE_S = 300.0
ANSWER_S = 120.0


@tenacity.retry(
    retry=tenacity.retry_if_result(
        lambda answer: answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    ),
    wait=tenacity.wait_random(0.2, 1),
    stop=tenacity.stop_after_delay(PATIENCE_S),
)
def ask_prefect(method: str, url: str, **options: Any) -> httpx.Response:
    """Ask Prefect's server; where another had its SQLite file (503), again, as its clients do."""
    return httpx.request(method, url, timeout=ANSWER_S, **options)


def wait_for(look: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """Look until there is something; a server too busy to answer is asked again."""
    give_up_at = time.monotonic() + patience_s
    while time.monotonic() < give_up_at:
        try:
            if found := look():
                return found
        except httpx.TimeoutException:
            continue
        time.sleep(0.3)
    raise AssertionError(f"no {what} within {patience_s:.0f} s")
