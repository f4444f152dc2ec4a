"""The files of deployments/production hold no secret, and no setting that Prefect would ignore."""

import inspect
from pathlib import Path

import pytest
import yaml
from prefect.server.utilities import encryption
from prefect.settings.legacy import _get_settings_fields
from prefect.settings.models.root import Settings

FOLDER = Path(__file__).parents[2] / "deployments" / "production"
EXAMPLES = ("server.env.example", "worker.env.example")
KNOWN = {alias.upper() for alias in _get_settings_fields(Settings)}
SECRETS = ("AUTH_STRING", "ENCRYPTION_KEY", "PASSWORD")


def read_settings(name: str) -> dict[str, str]:
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize("example", EXAMPLES)
def test_settings_are_ones_that_prefect_reads(example: str) -> None:
    named = {name for name in read_settings(example) if name.startswith("PREFECT_")}
    unknown = {name for name in named if name not in KNOWN}
    # Prefect reads this one past its settings.
    assert unknown <= {"PREFECT_SERVER_ENCRYPTION_KEY"}
    assert "PREFECT_SERVER_ENCRYPTION_KEY" in inspect.getsource(encryption)


@pytest.mark.parametrize("example", EXAMPLES)
def test_secrets_are_left_to_be_filled_in(example: str) -> None:
    settings = read_settings(example)
    secrets = {name: value for name, value in settings.items() if name.endswith(SECRETS)}
    assert secrets
    assert not any(secrets.values())


def test_services_run_the_image_and_keep_the_server_to_this_machine() -> None:
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert set(services) == {"database", "server", "worker"}
    assert services["server"]["ports"] == ["127.0.0.1:4200:4200"]
    assert services["server"]["image"] == services["worker"]["image"]
    assert "ports" not in services["database"]


def test_worker_unit_waits_longer_than_its_drain() -> None:
    text = (FOLDER / "segment-export-worker.service").read_text(encoding="utf-8")
    assert "segment-export drain --timeout-minutes 70" in text
    assert "TimeoutStopSec=75min" in text
