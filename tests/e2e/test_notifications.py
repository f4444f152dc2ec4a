"""Failing, degraded and recovered exports are told to people, in words, once each."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl
import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State, StateType
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.automations import FLOWS
from deployments.changes import Outcome
from deployments.channels import make_webhook
from deployments.notifications import BLOCK, NAMES, find_blocks, remove_notifications, save_block
from tests.conftest import ROOT, PrefectServer, World
from tests.e2e.clearing import remove_deployed
from tests.waiting import ask_prefect, wait_for

NO_LIST = "00000000-0000-4000-8000-000000000000"
OPTIONS = ("--segments-column", "Segments", "--segment", "Gold", "--email", "EMail")


@dataclass
class Receiver:
    """An HTTP server that keeps the messages it is sent."""

    address: str = ""
    messages: list[dict[str, str]] = field(default_factory=list)

    def with_subject(self, text: str) -> list[dict[str, str]]:
        """Give the messages about something.

        Prefect sends one again, word for word, when its database was too busy to note it.
        """
        found = [message for message in self.messages if text in message["subject"]]
        return [message for at, message in enumerate(found) if message not in found[:at]]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.messages.append(json.loads(body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Say nothing on standard error."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        kept.address = f"http://127.0.0.1:{server.server_port}/hooks/s3cret"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield kept
        server.shutdown()


@pytest.fixture
def server_client(prefect_server: PrefectServer) -> Iterator[SyncPrefectClient]:
    """A client; what the test has set up is gone afterwards, for others share the server."""
    with (
        temporary_settings({PREFECT_API_URL: prefect_server.api_url}),
        get_client(sync_client=True) as client,
    ):
        try:
            yield client
        finally:
            remove_notifications(client)
            remove_deployed(client)


def write_profiles(folder: Path) -> Path:
    """Ten customers, two of whom have no valid address."""
    path = folder / "profiles.parquet"
    addresses = [f"person-{n}@example.com" for n in range(8)] + ["nothing", "person-9@"]
    pl.DataFrame(
        {
            "CustomerId": [f"c{n}" for n in range(10)],
            "EMail": addresses,
            "Segments": [["Gold"]] * 10,
        }
    ).write_parquet(path)
    return path


def read_events(server: PrefectServer, export: str) -> list[dict[str, Any]]:
    answer = ask_prefect(
        "POST",
        f"{server.api_url}/events/filter",
        json={"filter": {"resource": {"id": [f"segment-export.export.{export}"]}, "order": "ASC"}},
    )
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()["events"]
    return found


def read_artifact(server: PrefectServer, key: str) -> Any:
    answer = ask_prefect("GET", f"{server.api_url}/artifacts/{key}/latest")
    answer.raise_for_status()
    return answer.json()["data"]


def let_run_die(client: SyncPrefectClient, name: str) -> UUID:
    """A run of our flow whose process is gone, as the automation marks it."""

    @flow(name=FLOWS[0])
    def export_segment() -> None:
        """Stand for the flow."""

    run = client.create_flow_run(export_segment, name=name, state=State(type=StateType.RUNNING))
    died = State(type=StateType.CRASHED, message="The process died.")
    client.set_flow_run_state(run.id, died)
    return run.id


def test_failure_degradation_and_recovery_reach_a_receiver_once_each(
    prefect_server: PrefectServer,
    server_client: SyncPrefectClient,
    receiver: Receiver,
    world: World,
    tmp_path: Path,
) -> None:
    address = tmp_path / "address"
    address.write_text(receiver.address + "\n")
    told = world.commands.run("notify", "--webhook-file", address, "--test")
    assert told.code == 0, told.err
    assert f"notification block {BLOCK}: created" in told.out
    assert [message["subject"] for message in receiver.messages] == [
        "segment-export: a test message"
    ]
    deployed = world.commands.run("deploy", "--json", "--file", ROOT / "prefect.yaml")
    outcomes = {one["name"]: one["outcome"] for one in deployed.document["changes"]}
    assert {name: outcomes[name] for name in NAMES} == dict.fromkeys(NAMES, "unchanged")

    again = save_block(server_client, make_webhook(receiver.address))
    assert [change for change in again if change.outcome is not Outcome.UNCHANGED] == []

    name = f"told-{world.list_id[:8]}"
    who = f"{name} → {world.connection}"
    export = ("--profiles", write_profiles(tmp_path), *OPTIONS, "--name", name)

    def told_that_it(became: str) -> dict[str, str]:
        subject = f"Export {became}: {who}"
        message, *_ = wait_for(lambda: receiver.with_subject(subject), f"message: {became}")
        return dict(message)

    assert world.export(*export, list_id=NO_LIST).code == 2
    failed = told_that_it("failed")
    assert world.export(*export).code == 0
    degraded = told_that_it("degraded")
    assert world.export(*export).document["status"] == "nothing_to_do"
    assert world.export(*export, "--warn-rejects-percent", "20").code == 0
    recovered = told_that_it("recovered")

    died = f"{name} that died"
    let_run_die(server_client, died)
    (crashed,) = wait_for(lambda: receiver.with_subject(died), "message of a crash")

    assert f"{who} ended as Failed." in failed["body"]
    assert "The account has no contact list" in failed["body"]
    assert "run the export again" in failed["body"]
    assert f"{died} ended as Crashed.\n\nThe process died.\n\n" in crashed["body"]
    assert "more than 5.0 % of its profiles did not arrive" in degraded["body"]
    assert "Delivered 8 contacts to list" in degraded["body"]
    assert "2 profiles rejected" in degraded["body"]
    assert "its run before was degraded" in recovered["body"]
    page = f"{prefect_server.api_url.removesuffix('/api')}/runs/flow-run/"
    assert all(page in one["body"] for one in (failed, degraded, recovered))
    own = receiver.with_subject(name)
    assert own == [failed, degraded, recovered, crashed], "each told once"
    assert "@example.com" not in json.dumps(receiver.messages)

    history = json.loads(read_artifact(prefect_server, f"export-history-{name}"))
    assert [(run["result"], run["sent"], run["rejected"]) for run in history] == [
        ("delivered", 8, 2),
        ("degraded", 8, 2),  # had nothing to do, and told nobody
        ("degraded", 8, 2),
        ("failed", 0, 0),
    ]
    report = read_artifact(prefect_server, f"export-report-{name}")
    assert "## Compared with the run before" in report
    assert "of the window's 60 minutes" in report
    assert "10,000 requests under this API key" in report
    assert "constantcontact.com" not in report, "a sandbox has no pages"

    off = world.commands.run("notify", "--off")
    assert off.out.count(": removed") == 4
    assert find_blocks(server_client) == []


def test_events_tell_the_stages_of_a_run_and_that_it_recovered_from_a_crash(
    prefect_server: PrefectServer, server_client: SyncPrefectClient, world: World, tmp_path: Path
) -> None:
    name = f"stages-{world.list_id[:8]}"

    dead = let_run_die(server_client, f"{name} → {world.connection}")
    done = world.export(
        "--profiles", write_profiles(tmp_path), *OPTIONS,
        "--name", name, "--warn-rejects-percent", "20",
    )  # fmt: skip
    assert done.code == 0, done.err
    events = wait_for(
        lambda: [one for one in [read_events(prefect_server, name)] if len(one) > 5], "events"
    )[0]
    assert [event["event"].removeprefix("segment-export.run.") for event in events] == [
        "started", "prepared", "uploading", "imported", "delivered", "recovered",
    ]  # fmt: skip
    assert events[1]["payload"] == {
        "export": name,
        "connection": world.connection,
        "profiles_in_segment": 10,
        "sent": 8,
        "rejected": 2,
        "duplicates": 0,
    }
    assert events[-1]["payload"]["previous"] == "crashed"
    assert events[-1]["payload"]["message"] == done.document["message"]
    assert "@example.com" not in json.dumps(events)
    history = json.loads(read_artifact(prefect_server, f"export-history-{name}"))
    assert [run["result"] for run in history] == ["delivered", "crashed"]
    assert history[1]["run"] == str(dead)


def test_exports_without_a_name_have_a_history_for_each_list(
    prefect_server: PrefectServer, world: World, tmp_path: Path
) -> None:
    segment = f"S{world.list_id[:8]}"
    profiles = write_profiles(tmp_path)
    pl.read_parquet(profiles).with_columns(Segments=pl.lit([segment])).write_parquet(profiles)
    export = ("--profiles", profiles, *OPTIONS[:2], "--segment", segment, *OPTIONS[4:])
    for list_id, code in ((world.list_id, 0), (NO_LIST, 2), (world.list_id, 0)):
        done = world.export(*export, list_id=list_id)
        assert done.code == code, done.err
    found = (
        ask_prefect(
            "POST",
            f"{prefect_server.api_url}/artifacts/latest/filter",
            json={"artifacts": {"key": {"like_": f"-{segment.lower()}-"}}},
        )
        .raise_for_status()
        .json()
    )
    tables = [one for one in found if one["key"].startswith("export-history-")]
    runs = [[run["result"] for run in json.loads(one["data"])] for one in tables]
    assert sorted(runs) == [["degraded", "degraded"], ["failed"]]
    reports = [one["data"] for one in found if one["key"].startswith("export-report-")]
    assert sorted("Compared with the run before" in one for one in reports) == [False, True]
