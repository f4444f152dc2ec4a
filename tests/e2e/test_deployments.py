"""`segment-export deploy` takes prefect.yaml as it is; schedule and worker then do their part."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.conftest import ROOT, Commands, PrefectServer, World, clean_env
from tests.waiting import ask_prefect, wait_for


def prefect(server: PrefectServer, *arguments: str, folder: Path = ROOT) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
        capture_output=True, text=True, env=server.env(), cwd=folder, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ask(server: PrefectServer, path: str, **body: Any) -> Any:
    answer = ask_prefect("POST", f"{server.api_url}/{path}", json=body)
    answer.raise_for_status()
    return answer.json()


@pytest.fixture(scope="module")
def deployed(
    prefect_server: PrefectServer, connected: World, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Our file on the server; the form knows the connection, and of no profiles."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "prefect.yaml").write_text((ROOT / "prefect.yaml").read_text())
    (folder / "flows").symlink_to(ROOT / "flows")
    done = Commands(connected.commands.env, folder).run("deploy")
    assert done.code == 0, done.err
    found = ask(prefect_server, "deployments/filter")
    return {deployment["name"]: deployment for deployment in found}


def test_cron_deployment_yields_scheduled_runs(
    prefect_server: PrefectServer, deployed: dict[str, Any]
) -> None:
    """Guard the pins of FastAPI and SQLAlchemy: without them no server, or no scheduled runs."""
    nightly = deployed["nightly-loyalty"]["id"]
    runs = wait_for(
        lambda: ask(
            prefect_server,
            "flow_runs/filter",
            flow_runs={
                "deployment_id": {"any_": [nightly]},
                "state": {"type": {"any_": ["SCHEDULED"]}},
            },
        ),
        "scheduled run",
    )
    assert all("T02:00:00" in run["expected_start_time"] for run in runs)


def test_saving_an_export_runs_nothing(
    prefect_server: PrefectServer, deployed: dict[str, Any]
) -> None:
    runs = ask(
        prefect_server,
        "flow_runs/filter",
        flow_runs={
            "deployment_id": {"any_": [deployed["ad-hoc"]["id"]]},
        },
    )
    assert runs == []


def test_worker_carries_out_an_ad_hoc_run_and_shows_it_well(
    prefect_server: PrefectServer, deployed: dict[str, Any], world: World, tmp_path: Path
) -> None:
    profiles = tmp_path / "profiles.parquet"
    pl.DataFrame(
        {
            "CustomerId": ["a", "b", "c"],
            "EMail": ["a@example.com", "b@example.com", "nothing"],
            "Segments": [["Gold"]] * 3,
        }
    ).write_parquet(profiles)
    run = ask(
        prefect_server,
        f"deployments/{deployed['ad-hoc']['id']}/create_flow_run",
        state={"type": "SCHEDULED"},
        parameters={
            "request": {
                "connection": world.connection,
                "list_id": world.list_id,
                "profiles": str(profiles),
                "segments": ["Gold"],
                "segments_column": "Segments",
                "email": "EMail",
                "report_dir": str(tmp_path / "report"),
            }
        },
    )
    prefect(prefect_server, "worker", "start", "--pool", "exports", "--run-once")

    def finished() -> Any:
        found = ask_prefect("GET", f"{prefect_server.api_url}/flow_runs/{run['id']}").json()
        return found if found["state"]["type"] in {"COMPLETED", "FAILED", "CRASHED"} else None

    found = wait_for(finished, "finished run")
    assert found["state"]["type"] == "COMPLETED", found["state"]
    assert found["state"]["message"].startswith("Delivered 2 contacts to list")
    assert found["name"] == f"Gold → {world.connection}"
    assert set(world.members()) == {"a@example.com", "b@example.com"}

    of_this_run = {"flow_runs": {"id": {"any_": [run["id"]]}}}
    steps = {
        "Check list and custom fields",
        "Select, validate and de-duplicate contacts",
        "Look for batches accepted earlier",
        "Upload batch 1 · 2 contacts",
        "Wait for the imports to finish",
        "Reconcile and report",
    }

    def shows_steps() -> bool:  # which the server takes from events, a few seconds later
        shown = ask(prefect_server, "task_runs/filter", **of_this_run)
        return steps <= {one["name"] for one in shown}

    wait_for(shows_steps, "steps")
    artifacts = {
        one["key"]: one["data"] for one in ask(prefect_server, "artifacts/filter", **of_this_run)
    }
    assert artifacts["export-progress-ad-hoc"] == 100.0
    assert "| sent | 2 |" in artifacts["export-report-ad-hoc"]
    assert "example.com" not in json.dumps(artifacts)


@pytest.mark.parametrize(
    "mistake",
    [{"window_minutes": -1}, {"segments": []}, {"windowminutes": 5}],
    ids=["out of range", "no segment", "misspelt"],
)
def test_run_form_refuses_mistakes_before_a_run_is_created(
    prefect_server: PrefectServer, deployed: dict[str, Any], mistake: dict[str, Any]
) -> None:
    good = deployed["ad-hoc"]["parameters"]["request"]
    answer = ask_prefect(
        "POST",
        f"{prefect_server.api_url}/deployments/{deployed['ad-hoc']['id']}/create_flow_run",
        json={"parameters": {"request": {**good, **mistake}}},
    )
    assert answer.status_code == 409, answer.text


def test_deploying_without_a_server_is_refused_saying_how_to_start_one(tmp_path: Path) -> None:
    done = Commands(clean_env(tmp_path), ROOT).run("deploy")
    assert done.code == 2
    assert "prefect server start" in done.err
    assert "export PREFECT_API_URL=" in done.err
    assert (done.out, len(done.err.splitlines())) == ("", 1)


def test_deploying_to_a_server_that_does_not_answer_fails_in_one_line(tmp_path: Path) -> None:
    env = clean_env(tmp_path, PREFECT_API_URL="http://127.0.0.1:9/api")
    done = Commands(env, ROOT).run("deploy")
    assert done.code == 1
    assert "http://127.0.0.1:9/api does not answer" in done.err
    assert (done.out, len(done.err.splitlines())) == ("", 1)


def test_what_prefect_itself_refuses_is_told_in_one_line(
    prefect_server: PrefectServer, tmp_path: Path
) -> None:
    content = (ROOT / "prefect.yaml").read_text().replace("name: exports", "name: nowhere")
    (tmp_path / "prefect.yaml").write_text(content)
    (tmp_path / "flows").symlink_to(ROOT / "flows")
    done = Commands(prefect_server.env(), tmp_path).run("deploy")
    assert done.code == 1
    assert "work pool 'nowhere' which does not exist" in done.err
    assert len(done.err.splitlines()) == 1
    assert "Traceback" not in done.out
