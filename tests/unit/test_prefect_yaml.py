"""prefect.yaml says nothing that Prefect would silently ignore, and nothing an export refuses."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.cli.deploy._models import (
    ConcurrencyLimitSpec,
    DeploymentConfig,
    PrefectYamlModel,
    WorkPoolConfig,
)

from deployments.export_entry import is_export
from schemas.export import ExportRequest

CONTENT: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[2] / "prefect.yaml").read_text(encoding="utf-8")
)
DEPLOYMENTS = {deployment["name"]: deployment for deployment in CONTENT["deployments"]}
EXPORTS = {name: deployment for name, deployment in DEPLOYMENTS.items() if is_export(deployment)}


def test_file_is_what_prefect_takes() -> None:
    PrefectYamlModel.model_validate(CONTENT)
    assert set(CONTENT) <= {*PrefectYamlModel.model_fields, "definitions"}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_no_key_is_one_that_prefect_ignores(name: str) -> None:
    deployment = DEPLOYMENTS[name]
    assert set(deployment) <= set(DeploymentConfig.model_fields)
    assert set(deployment["work_pool"]) <= set(WorkPoolConfig.model_fields)
    assert set(deployment["concurrency_limit"]) <= set(ConcurrencyLimitSpec.model_fields)


@pytest.mark.parametrize("name", EXPORTS)
def test_saved_request_is_one_that_an_export_takes(name: str) -> None:
    assert set(EXPORTS[name]["parameters"]) == {"request"}
    ExportRequest.model_validate(EXPORTS[name]["parameters"]["request"])


def test_one_example_runs_on_a_schedule_and_one_when_asked() -> None:
    assert [bool(deployment.get("schedules")) for deployment in EXPORTS.values()] == [True, False]
    assert all(
        schedule["slug"] and schedule["timezone"]
        for deployment in DEPLOYMENTS.values()
        for schedule in deployment.get("schedules", [])
    )
