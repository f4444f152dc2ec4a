"""A sandbox whose clock stands still, and a bare httpx client in front of it."""

import ssl
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from sandbox import Box, ManualClock, SandboxSettings, running

TLS = ssl.create_default_context()  # making one takes longer than a whole test
UNHURRIED = {"requests_per_second": 100_000, "token_requests_per_second": 100_000}
AT_ONCE = {"initialized_s": 0.0, "processing_s": 0.0}
NOBODY = str(uuid.UUID(int=0))


class Api:
    """What a test needs: the box, its clock, a client with a token, and a list named `Main`."""

    def __init__(self, box: Box, clock: ManualClock, http: httpx.Client) -> None:
        self.box = box
        self.clock = clock
        self.http = http
        self.list_id = box.add_list("Main")
        self.get = http.get

    def post(self, path: str, content: Any) -> httpx.Response:
        return self.http.post(path, json=content)

    def import_csv(
        self, content: str | bytes, list_ids: str | None = None, file_name: str = "c.csv"
    ) -> httpx.Response:
        return self.http.post(
            "/activities/contacts_file_import",
            data={"list_ids": self.list_id if list_ids is None else list_ids},
            files={"file": (file_name, content, "text/csv")},
        )

    def import_json(self, *rows: dict[str, Any], **changes: Any) -> httpx.Response:
        body = {"list_ids": [self.list_id], "import_data": list(rows)} | changes
        return self.post("/activities/contacts_json_import", body)

    def activity(self, accepted: httpx.Response) -> dict[str, Any]:
        assert accepted.status_code in {201, 202}, accepted.text
        found: dict[str, Any] = self.get(f"/activities/{accepted.json()['activity_id']}").json()
        return found

    def counters(self, accepted: httpx.Response) -> dict[str, int]:
        found: dict[str, int] = self.activity(accepted)["status"]
        return found

    def members(self) -> dict[str, dict[str, str]]:
        return self.box.state.members(self.list_id)

    def refresh(self, refresh_token: str, **fields: str) -> httpx.Response:
        return self.http.post(
            f"{self.box.auth_url}/token",
            data={"grant_type": "refresh_token", "refresh_token": refresh_token} | fields,
            auth=(self.box.client_id, self.box.client_secret),
        )


@contextmanager
def open_api(**settings: Any) -> Iterator[Api]:
    """Run a sandbox without limits per second, whose activities end at once, unless told."""
    clock = ManualClock()
    chosen = SandboxSettings(**(UNHURRIED | AT_ONCE | settings))
    with (
        running(chosen, clock=clock) as box,
        httpx.Client(
            base_url=box.api_url,
            headers={"Authorization": f"Bearer {box.access_token()}"},
            verify=TLS,
        ) as http,
    ):
        yield Api(box, clock, http)


def error_keys(response: httpx.Response) -> list[str]:
    """Return the keys of an error in the first envelope, a list of objects."""
    content = response.json()
    assert isinstance(content, list), content
    assert all(set(one) == {"error_key", "error_message"} for one in content)
    return [one["error_key"] for one in content]
