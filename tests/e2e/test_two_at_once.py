"""Several runs at once, in processes of their own, on one API key.

With a Prefect server that all of them use, and with none configured: then each starts its own,
on one database.
"""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import polars as pl
import psutil
import pytest

import sandbox
from sandbox import AppCredentials, Box
from tests.conftest import Commands, Finished, World, clean_env

pytestmark = pytest.mark.alone

AT_ONCE = 4
MOST_IN_ANY_SECOND = 4
WIDE_VALUE = "x" * 255  # the longest a custom field takes
WIDE_FIELDS = ("One", "Two", "Three", "Four")
WIDE_ROWS = 5_000  # of some 1,050 bytes each: two batches
GONE_WITHIN_S = 60.0


@pytest.fixture(scope="module")
def serverless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Four connections to one sandbox, made at once where Prefect has never been used.

    Each has an API key of its own; the first is the world's.
    """
    folder = tmp_path_factory.mktemp("serverless")
    commands = Commands(clean_env(folder), folder)
    with sandbox.running() as box:
        keys = [box.add_client() for _ in range(AT_ONCE)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            done = list(
                pool.map(lambda n: connect(commands, box, keys[n], f"key-{n}"), range(AT_ONCE))
            )
        assert [one.code for one in done] == [0] * AT_ONCE, [one.err for one in done]
        yield World(box, commands, "key-0", "")


def connect(commands: Commands, box: Box, key: AppCredentials, name: str) -> Finished:
    secret, token = commands.folder / f"{name}-secret", commands.folder / f"{name}-token"
    secret.write_text(key.client_secret)
    token.write_text(key.refresh_token)
    return commands.run(
        "connect", name, "--client-id", key.client_id, "--client-secret-file", secret,
        "--refresh-token-file", token, "--api-url", box.api_url, "--auth-url", box.auth_url,
        "--accept-data-privacy",
    )  # fmt: skip


@pytest.fixture(params=["server", "embedded"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """A world with a list of the test's own, on a Prefect server and without one."""
    if request.param == "server":
        shared: World = request.getfixturevalue("world")
        return shared
    alone: World = request.getfixturevalue("serverless")
    return World(
        alone.box,
        Commands(alone.commands.env, tmp_path),
        alone.connection,
        alone.box.add_list(f"List of {request.node.name}"),
    )


def write_profiles(folder: Path, who: str, rows: int = 100) -> Path:
    path = folder / f"{who}.parquet"
    pl.DataFrame(
        {
            "CustomerId": [f"c{n}" for n in range(rows)],
            "EMail": [f"{who}{n}@example.com" for n in range(rows)],
            "Segments": [["Gold"]] * rows,
            "Wide": [WIDE_VALUE] * rows,
        }
    ).write_parquet(path)
    return path


def options(profiles: Path) -> tuple[str | Path, ...]:
    return (
        "--profiles", profiles, "--segments-column", "Segments", "--segment", "Gold",
        "--email", "EMail",
    )  # fmt: skip


def export_at_once(
    world: World, list_ids: list[str], profiles: list[Path], *more: str
) -> list[Finished]:
    with ThreadPoolExecutor(len(list_ids)) as pool:
        runs = [
            pool.submit(world.export, *options(path), *more, list_id=list_id)
            for path, list_id in zip(profiles, list_ids, strict=True)
        ]
    return [run.result() for run in runs]


def assert_never_told_to_slow_down(world: World, done: list[Finished]) -> None:
    assert [one.document["requests"]["throttled"] for one in done] == [0] * len(done)
    assert 429 not in {request.status for request in world.box.state.requests()}
    for client_id in {request.client_id for request in world.box.state.requests()}:
        assert world.box.state.most_requests_in_any_second(client_id) <= MOST_IN_ANY_SECOND


def server_log(world: World) -> str:
    log = Path(world.commands.env["HOME"]) / "server.log"
    return log.read_text() if log.exists() else ""  # an embedded one's goes with it


def flow_run_states(world: World) -> dict[str, str]:
    home = Path(world.commands.env["PREFECT_HOME"])
    with closing(sqlite3.connect(f"file:{home}/prefect.db?mode=ro", uri=True)) as database:
        return dict(database.execute("select id, state_type from flow_run").fetchall())


def assert_nothing_accepted_twice(world: World) -> None:
    names = [activity["source_file_name"] for activity in world.box.state.activities()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("count", [2, AT_ONCE])
def test_runs_on_one_key_are_never_told_to_slow_down(
    place: World, tmp_path: Path, count: int
) -> None:
    lists = [place.box.add_list(f"{place.list_id} {n}") for n in range(count)]
    profiles = [write_profiles(tmp_path, f"p{n}-{place.list_id[:8]}-") for n in range(count)]
    before = flow_run_states(place)
    done = export_at_once(place, lists, profiles)
    assert [one.code for one in done] == [0] * count, [one.err for one in done]
    assert not any("locked" in said for said in [server_log(place), *(one.err for one in done)])
    new_runs = flow_run_states(place).items() - before.items()
    assert [state for _, state in new_runs] == ["COMPLETED"] * count
    assert_never_told_to_slow_down(place, done)
    assert_nothing_accepted_twice(place)
    for list_id, path in zip(lists, profiles, strict=True):
        assert set(place.box.state.members(list_id)) == set(pl.read_parquet(path)["EMail"])


def test_runs_of_several_batches_share_the_pace(world: World, tmp_path: Path) -> None:
    fields = [world.box.add_custom_field(label) for label in WIDE_FIELDS]
    attributes = [part for name in fields for part in ("--attribute", f"Wide=cf:{name}")]
    lists = [world.box.add_list(f"{world.list_id} {n}") for n in range(AT_ONCE)]
    profiles = [
        write_profiles(tmp_path, f"w{n}-{world.list_id[:8]}-", WIDE_ROWS) for n in range(AT_ONCE)
    ]
    done = export_at_once(world, lists, profiles, *attributes)
    assert [one.code for one in done] == [0] * AT_ONCE, [one.err for one in done]
    assert all(len(one.document["batches"]) > 1 for one in done)
    assert_never_told_to_slow_down(world, done)
    assert_nothing_accepted_twice(world)
    assert [len(world.box.state.members(list_id)) for list_id in lists] == [WIDE_ROWS] * AT_ONCE


def test_two_runs_of_one_delivery_do_not_race(place: World, tmp_path: Path) -> None:
    profiles = write_profiles(tmp_path, f"same-{place.list_id[:8]}-")
    uploads = len(place.box.state.requests("file_import"))
    done = export_at_once(place, [place.list_id] * 2, [profiles] * 2)
    assert [one.code for one in done] == [0, 0], [one.err for one in done]
    assert sorted(one.document["status"] for one in done) == ["completed", "nothing_to_do"]
    assert len(place.box.state.requests("file_import")) == uploads + 1
    assert_nothing_accepted_twice(place)
    assert len(place.members()) == 100


def test_nothing_goes_on_running_without_a_server(serverless: World) -> None:
    home = serverless.commands.env["PREFECT_HOME"]
    ours = [one for one in psutil.process_iter() if prefect_home_of(one) == home]
    _, alive = psutil.wait_procs(ours, timeout=GONE_WITHIN_S)
    assert not alive


def prefect_home_of(process: psutil.Process) -> str:
    try:
        return process.environ().get("PREFECT_HOME", "")
    except psutil.Error:
        return ""
