"""What was asked of the sandbox, request by request: no tokens, no bodies, no query strings."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class RequestRecord:
    """One request.

    `arrived_s` is when its headers had arrived, on the sandbox's monotonic clock; `operation` is
    empty where no operation answers the path; `status` is None until the answer and for a dropped
    connection; `client_id` is empty where no valid token told it.
    """

    method: str
    path: str
    operation: str
    arrived_s: float
    status: int | None = None
    body_bytes: int = 0
    file_name: str = ""
    client_id: str = ""


def most_in_any_second(requests: Iterable[RequestRecord], client_id: str = "") -> int:
    """Return the largest number of API requests that arrived less than a second apart.

    Counts everything under /v3, refused or not, of one API key where a `client_id` is given.
    """
    arrivals_s = sorted(
        request.arrived_s
        for request in requests
        if request.path.startswith("/v3/") and client_id in ("", request.client_id)
    )
    most = first = 0
    for last, arrived_s in enumerate(arrivals_s):
        while arrived_s - arrivals_s[first] >= 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


@dataclass(slots=True)
class RequestLog:
    """All requests in the order in which they arrived."""

    records: list[RequestRecord] = field(default_factory=list)

    def open(self, method: str, path: str, arrived_s: float) -> RequestRecord:
        """Begin the record of a request."""
        record = RequestRecord(method, path, "", arrived_s)
        self.records.append(record)
        return record
