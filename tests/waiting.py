"""Waiting for what another process will do."""

import time
from collections.abc import Callable
from typing import Any

import httpx

PATIENCE_S = 300.0


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
