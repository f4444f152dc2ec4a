"""What a run makes of each error of the client, at each stage: status, exit code, message."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import sandbox
import tasks.batches
import tasks.connection
from constant_contact import (
    REQUEST_LIMIT_BYTES,
    AccessDenied,
    ApiUnreachable,
    ConstantContact,
    ConstantContactError,
    ListNotFound,
    MalformedAnswer,
    NotAuthorised,
    NotFound,
    OutcomeUnknown,
    Pacer,
    QuotaExceeded,
    RequestRefused,
    ServerFault,
    SignInExpired,
    SignInUnavailable,
)
from sandbox import Fault, SandboxSettings
from tests.conftest import Commands, Finished, World, connect
from tests.contract.endings import RUNS, Stage

HASTE = 100  # the client's pauses are shortened so many times
ROWS = 6
BATCH_ROWS = 2
OPERATIONS = {Stage.BEFORE: "custom_fields", Stage.UPLOAD: "file_import", Stage.WAIT: "activities"}
# The journal is read once before the uploads, and the first batch is to be accepted.
FIRST = {Stage.BEFORE: 1, Stage.UPLOAD: 2, Stage.WAIT: 2}
FOR_EVER = 10_000


REFUSED_TOKEN = Fault("?", "status", status=401, envelope="object")


def sign_in(status: int, key: str = "") -> tuple[Fault, ...]:
    body = f'{{"error":"{key}"}}' if key else None
    return (
        REFUSED_TOKEN,
        Fault("token", "status", status=status, body=body, repeat=FOR_EVER),
    )


def answering(status: int, body: str | None = None) -> tuple[Fault, ...]:
    return (Fault("?", "status", status=status, body=body),)


# The faults that make the client raise an error, and what its message holds.
CAUSES: dict[type[ConstantContactError], tuple[tuple[Fault, ...], str]] = {
    ApiUnreachable: ((Fault("?", "drop"),), "did not answer"),
    ServerFault: (answering(503), "has a problem of its own (status 503)"),
    MalformedAnswer: ((Fault("?", "status", status=200, envelope="html"),), "is not JSON"),
    SignInUnavailable: (sign_in(503), "sign-in service does not answer as it should"),
    AccessDenied: (answering(403, '{"message":"Forbidden"}'), "denies access"),
    NotAuthorised: ((REFUSED_TOKEN,), "refuses this connection's access token"),
    SignInExpired: (sign_in(400, "invalid_grant"), "sign-in is refused"),
    RequestRefused: (answering(409), "status 409"),
    NotFound: (answering(404), "status 404"),
    QuotaExceeded: (answering(429, '{"error_key":"quota_exceeded"}'), "00:00 UTC"),
    OutcomeUnknown: (
        (
            Fault("?", "drop", when="after"),
            Fault("activities", "status", status=500, occurrence=2, repeat=30),
        ),
        "could not be found out",
    ),
}
# What passes is waited over there, until the window ends.
WAITED_OVER = {ApiUnreachable, ServerFault, MalformedAnswer, SignInUnavailable}
CELLS = [
    pytest.param(error, stage, id=f"{error.__name__}-{stage.name}")
    for error, stage in RUNS
    if error in CAUSES and not (stage is Stage.WAIT and error in WAITED_OVER)
]
# One whose batch may have been accepted, and one whose imports went on unwatched.
CONTINUED = [(OutcomeUnknown, Stage.UPLOAD), (QuotaExceeded, Stage.WAIT)]


@pytest.fixture(scope="module")
def unhurried(connected: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A sandbox that does not count requests a second, and a connection to it."""
    folder = tmp_path_factory.mktemp("unhurried")
    settings = SandboxSettings(
        requests_per_second=FOR_EVER, token_requests_per_second=FOR_EVER,
        initialized_s=0.05, processing_s=0.5,
    )  # fmt: skip
    with sandbox.running(settings) as box:
        name = f"box-{folder.name}"
        done = connect(Commands(connected.commands.env, folder), box, name, folder)
        assert done.code == 0, done.err
        box.add_custom_field("tier")
        yield World(box, connected.commands, name, "")


@pytest.fixture
def world(unhurried: World, here: Callable[..., Finished], request: pytest.FixtureRequest) -> World:
    unhurried.box.clear_script()
    list_id = unhurried.box.add_list(f"List of {request.node.name}"[:250])
    return replace(unhurried, list_id=list_id, run_here=here)


@pytest.fixture(autouse=True)
def _hurried_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the client's pauses; nobody else is on the key."""

    async def sleep(wait_s: float) -> None:
        await asyncio.sleep(wait_s / HASTE)

    def build(**given: Any) -> ConstantContact:
        at_once = Pacer(interval_s=0.0)
        return ConstantContact(
            **given | {"sleep": sleep, "limiter": at_once, "token_limiter": at_once}
        )

    monkeypatch.setattr(tasks.connection, "ConstantContact", build)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut six contacts into three batches, uploaded one after the other."""
    limit = len("email,cf:tier\r\n") + BATCH_ROWS * len("p0.01234567@example.com,Gold\r\n")
    framing = REQUEST_LIMIT_BYTES - 1 - limit
    monkeypatch.setattr(tasks.batches, "framing_bytes", lambda *_: framing)
    monkeypatch.setattr(tasks.batches, "MOST_UPLOADS_AT_ONCE", 1)


@pytest.fixture
def profiles(world: World, tmp_path: Path) -> Path:
    path = tmp_path / "profiles.parquet"
    pl.DataFrame(
        {
            "CustomerId": [f"c{n}" for n in range(ROWS)],
            "EMail": [f"p{n}.{world.list_id[:8]}@example.com" for n in range(ROWS)],
            "Tier": ["Gold"] * ROWS,
            "Segments": [["Gold"]] * ROWS,
        }
    ).write_parquet(path)
    return path


def export(world: World, profiles: Path, *more: str) -> Finished:
    return world.export(
        "--profiles", profiles, "--segment", "Gold", "--email", "EMail",
        "--attribute", "Tier=cf:tier", *more,
    )  # fmt: skip


def script(world: World, error: type[ConstantContactError], stage: Stage) -> None:
    faults, _ = CAUSES[error]
    own = {"operation": OPERATIONS[stage], "occurrence": FIRST[stage], "repeat": FOR_EVER}
    world.box.script(
        *(replace(fault, **own) if fault.operation == "?" else fault for fault in faults)
    )


@pytest.mark.parametrize(("error", "stage"), CELLS)
def test_an_error_ends_a_run_as_the_table_says(
    world: World, profiles: Path, error: type[ConstantContactError], stage: Stage
) -> None:
    script(world, error, stage)
    done = export(world, profiles)
    end, (_, words) = RUNS[error, stage], CAUSES[error]
    outcome = done.document
    assert (outcome["status"], done.code) == (end.status, end.exit_code), outcome["message"]
    said = [outcome["message"], *outcome["notes"]]
    assert any(words in text for text in said), said
    assert "Traceback" not in done.err
    accepted = [batch for batch in outcome["batches"] if batch["activity_id"]]
    assert len(accepted) == {Stage.BEFORE: 0, Stage.UPLOAD: 1, Stage.WAIT: 3}[stage]


@pytest.mark.parametrize(("error", "stage"), CONTINUED)
def test_running_it_again_delivers_the_rest_and_nothing_twice(
    world: World, profiles: Path, error: type[ConstantContactError], stage: Stage
) -> None:
    script(world, error, stage)
    assert export(world, profiles).code == 1
    world.box.clear_script()
    again = export(world, profiles)
    assert again.code == 0, again.document["message"]
    assert len(world.members()) == ROWS
    accepted = [activity["source_file_name"] for activity in world.box.state.activities()]
    delivered = [batch["file_name"] for batch in again.document["batches"]]
    assert [accepted.count(name) for name in delivered] == [1, 1, 1]


def test_an_unknown_list_is_refused_by_its_name(world: World, profiles: Path) -> None:
    unknown = replace(world, list_id="2f9d7c31-5b0e-4c0f-8a43-6d1b7e5f9a10")
    done = export(unknown, profiles)
    assert done.code == RUNS[ListNotFound, Stage.BEFORE].exit_code
    assert "has no contact list" in done.err


@pytest.mark.parametrize("error", [ApiUnreachable, ServerFault])
def test_trouble_that_lasts_to_the_end_of_the_window_leaves_a_run_that_goes_on(
    world: World, profiles: Path, error: type[ConstantContactError]
) -> None:
    script(world, error, Stage.WAIT)
    done = export(world, profiles, "--window-minutes", "0.1")
    end = RUNS[error, Stage.WAIT]
    assert (done.document["status"], done.code) == (end.status, end.exit_code)
    assert [batch["state"] for batch in done.document["batches"]] == ["initialized"] * 3
    assert error.trouble in done.document["message"]
    world.box.clear_script()
    again = export(world, profiles)
    assert again.code == 0, again.document["message"]
    assert {batch["already_accepted"] for batch in again.document["batches"]} == {True}
