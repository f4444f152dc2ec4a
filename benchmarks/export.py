"""The whole export through the real command, beside the pace that the service allows."""

import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.commands import connect_command, make_environment, run_command, running_sandbox
from benchmarks.inputs import Inputs, make_inputs
from benchmarks.measuring import Finished, run_measured, say
from benchmarks.tables import markdown_table

REQUESTS_PER_S = 4
LIST_NAME = "Benchmark"


@dataclass(frozen=True, slots=True)
class Delivery:
    """An export as it went, as its command and its sandbox tell it.

    `run_requests` are those of the run itself, without the ones that made the connection.
    """

    command: Finished
    members: int
    most_in_any_second: int
    run_requests: list[dict[str, Any]]

    @property
    def sent(self) -> int:
        """Give the contacts that the command says it sent."""
        return int(self.command.document["counts"]["sent"])

    @property
    def floor_s(self) -> float:
        """Give the time that its requests take at four a second."""
        return float(self.command.document["requests"]["total"]) / REQUESTS_PER_S

    @property
    def flow_s(self) -> float:
        """Give the time from the flow's start to its end."""
        started, finished = (
            datetime.fromisoformat(self.command.document[key])
            for key in ("started_at", "finished_at")
        )
        return (finished - started).total_seconds()

    @property
    def requests_s(self) -> float:
        """Give the time from the first request's arrival to the last one's."""
        return self._api_arrivals_s()[-1] - self._api_arrivals_s()[0]

    @property
    def least_spacing_s(self) -> float:
        """Give the shortest time between two requests' arrivals."""
        return min(later - earlier for earlier, later in pairwise(self._api_arrivals_s()))

    def count_answers(self) -> Counter[int | None]:
        """Count the requests by the status of their answers."""
        return Counter(one["status"] for one in self.run_requests)

    def _api_arrivals_s(self) -> list[float]:
        return sorted(
            one["arrived_s"] for one in self.run_requests if one["path"].startswith("/v3/")
        )


def compare_export(folder: Path, rows: int, rounds: int, prefect_api_url: str) -> str:
    """Deliver to a new sandbox in each round, and give a table with a line each."""
    inputs = make_inputs(folder, rows)
    where = "given" if prefect_api_url else "embedded"
    lines = []
    for number in range(1, rounds + 1):
        say(f"export {number} of {rounds}, Prefect API {where}")
        with tempfile.TemporaryDirectory() as private:
            lines.append(_line(number, deliver(inputs, Path(private), prefect_api_url)))
    columns = [
        f"{rows:,} profiles, Prefect API {where}",
        "flow × floor",
        "floor s",
        "flow s",
        "first to last request s",
        "command s",
        "requests (uploads, polls)",
        "most in any second",
        "least spacing s",
        "throttled, retried",
        "sent = members",
        "peak MiB",
    ]
    return markdown_table(columns, lines)


def deliver(inputs: Inputs, private: Path, prefect_api_url: str = "") -> Delivery:
    """Connect to a sandbox of its own process and export into it, all through the command.

    Raises:
        RuntimeError: a command failed, a request was not answered well, or the list does not hold
            exactly who was sent.
    """
    env = make_environment(private, prefect_api_url)
    with running_sandbox(private / "sandbox", [LIST_NAME]) as sandbox:
        (list_id,) = sandbox.list_ids
        run_measured(connect_command(sandbox), env=env)
        begun_with = len(sandbox.requests()["requests"])
        done = run_measured(run_command(list_id, inputs, private / "report"), env=env)
        asked = sandbox.requests()
        delivery = Delivery(
            done,
            sandbox.count_members(list_id),
            asked["most_in_any_second"],
            asked["requests"][begun_with:],
        )
    if delivery.members != delivery.sent:
        raise RuntimeError(f"{delivery.sent:,} were sent, the list holds {delivery.members:,}")
    unexpected = {status for status in delivery.count_answers() if status not in {200, 201, 202}}
    if unexpected:
        raise RuntimeError(f"Some requests were answered {unexpected}")
    return delivery


def _line(number: int, delivery: Delivery) -> list[str]:
    requests = delivery.command.document["requests"]
    return [
        f"run {number}",
        f"{delivery.flow_s / delivery.floor_s:.2f}",
        f"{delivery.floor_s:.2f}",
        f"{delivery.flow_s:.1f}",
        f"{delivery.requests_s:.1f}",
        f"{delivery.command.wall_s:.1f}",
        f"{requests['total']} ({requests['uploads']}, {requests['polls']})",
        str(delivery.most_in_any_second),
        f"{delivery.least_spacing_s:.3f}",
        f"{requests['throttled']}, {requests['retried']}",
        f"{delivery.sent:,}",
        f"{delivery.command.peak_mib:,.0f}",
    ]
