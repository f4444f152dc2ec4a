"""`segment-export drain` waits for the runs of a pool, lets none begin, and can be undone."""

import re
from collections.abc import Iterator
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import State, StateType
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.conftest import Commands, PrefectServer, clean_env

POOL = "drained"


@flow(name="drained-flow")
def nothing() -> None:
    """Stand for an export; only its states matter here."""


@pytest.fixture
def client(prefect_server: PrefectServer) -> Iterator[SyncPrefectClient]:
    with (
        temporary_settings({PREFECT_API_URL: prefect_server.api_url}),
        get_client(sync_client=True) as client,
    ):
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        yield client
        client.delete_work_pool(POOL)


@pytest.fixture
def run(client: SyncPrefectClient) -> UUID:
    """A run of the pool that a worker is carrying out, for all that the server knows."""
    deployment = client.create_deployment(
        flow_id=client.create_flow(nothing), name="drained", work_pool_name=POOL
    )
    run = client.create_flow_run_from_deployment(deployment, name="Gold → acme")
    for state in (StateType.PENDING, StateType.RUNNING):
        client.set_flow_run_state(run.id, State(type=state))
    return run.id


def test_drain_waits_for_a_run_and_fails_while_it_goes_on(
    client: SyncPrefectClient, run: UUID, prefect_server: PrefectServer
) -> None:
    commands = Commands(prefect_server.env(), prefect_server.home)
    waited = commands.run("drain", "--pool", POOL, "--timeout-minutes", "0.05")
    assert waited.code == 1, waited.err
    assert re.search(r"1 still under way: Gold → acme \(Running, \d+ min\)", waited.err)
    assert "The pool stays paused" in waited.err
    assert client.read_work_pool(POOL).is_paused

    client.set_flow_run_state(run, State(type=StateType.COMPLETED))
    drained = commands.run("drain", "--pool", POOL)
    assert drained.code == 0, drained.err
    assert "Nothing is under way" in drained.out
    assert client.read_work_pool(POOL).is_paused

    resumed = commands.run("drain", "--pool", POOL, "--resume", "--json")
    assert resumed.document == {"pool": POOL, "paused": False}
    assert not client.read_work_pool(POOL).is_paused


def test_draining_an_unknown_pool_is_refused_saying_where_to_look(
    prefect_server: PrefectServer,
) -> None:
    done = Commands(prefect_server.env(), prefect_server.home).run("drain", "--pool", "nowhere")
    assert done.code == 2
    assert "no work pool “nowhere”" in done.err
    assert "prefect work-pool ls" in done.err
    assert len(done.err.splitlines()) == 1


def test_draining_without_a_server_is_refused(prefect_server: PrefectServer) -> None:
    done = Commands(clean_env(prefect_server.home), prefect_server.home).run("drain")
    assert done.code == 2
    assert "export PREFECT_API_URL=" in done.err
    assert len(done.err.splitlines()) == 1
