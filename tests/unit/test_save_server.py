"""What `save`, `exports` and `deploy` do where there is a server: one that is made up here."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import yaml
from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentUpdate
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.settings import PREFECT_API_URL, temporary_settings

import cli.deploy
import cli.exports
import cli.exports_changes
import cli.save
from cli.errors import CommandRefused
from cli.exports import show_exports
from cli.exports_changes import duplicate_saved, schedule_export, set_export_pause
from cli.save import save_export
from deployments.changes import Change, DeploymentRefused, Outcome
from deployments.deploy import deploy
from deployments.export_entry import Saving
from schemas.export import ExportRequest
from tasks.destination import Destination

ROOT = Path(__file__).parents[2]
API_URL = "http://prefect.example.com/api"
NIGHTLY = "nightly-loyalty"
NO_SPEC = {"cron": "", "interval": "", "rrule": "", "timezone": "", "slug": ""}
AT_FOUR = {**NO_SPEC, "cron": "0 4 * * *"}


def make_schedule(slug: str | None, *, active: bool = True) -> DeploymentSchedule:
    return DeploymentSchedule(
        id=uuid4(), slug=slug, active=active, schedule=CronSchedule(cron="0 2 * * *")
    )


class Server:
    """As much of a Prefect server as keeps exports, their schedules and triggers."""

    def __init__(self) -> None:
        self.exports: dict[str, DeploymentResponse] = {}
        self.triggers: list[Any] = []

    def deploy(self, name: str, *schedules: DeploymentSchedule) -> None:
        self.exports[name] = DeploymentResponse(
            id=uuid4(), name=name, flow_id=uuid4(), schedules=list(schedules)
        )

    def told(self, name: str = NIGHTLY) -> dict[str | None, tuple[str, bool]]:
        """Give when each schedule of an export runs, and whether it is on."""
        return {
            one.slug: (getattr(one.schedule, "cron", ""), one.active)
            for one in self.exports[name].schedules
        }

    def read_deployments(self, **_filters: object) -> list[DeploymentResponse]:
        return list(self.exports.values())

    def read_resource_related_automations(self, _resource: str) -> list[Any]:
        return self.triggers

    def read_flow_runs(self, **_filters: object) -> list[Any]:
        return []

    def resume_automation(self, _id: object) -> None:
        for trigger in self.triggers:
            trigger.enabled = True

    def update_deployment(self, deployment_id: object, update: DeploymentUpdate) -> None:
        (export,) = (one for one in self.exports.values() if one.id == deployment_id)
        export.paused = bool(update.paused)

    def update_deployment_schedule(
        self, _deployment_id: object, schedule_id: object, **values: Any
    ) -> None:
        for export in self.exports.values():
            for one in export.schedules:
                if one.id == schedule_id:
                    for key, value in values.items():
                        setattr(one, key, value)

    def create_deployment_schedules(
        self, deployment_id: object, schedules: list[DeploymentScheduleCreate]
    ) -> None:
        (export,) = (one for one in self.exports.values() if one.id == deployment_id)
        export.schedules += [
            DeploymentSchedule(id=uuid4(), **one.model_dump(exclude_unset=True))
            for one in schedules
        ]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made_up = Server()

    @contextmanager
    def asking_server() -> Iterator[Server]:
        yield made_up

    for module in (cli.save, cli.exports, cli.exports_changes):
        monkeypatch.setattr(module, "asking_server", asking_server)
    with temporary_settings({PREFECT_API_URL: API_URL}):
        yield made_up


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "flows").symlink_to(ROOT / "flows")
    return Path(shutil.copy(ROOT / "prefect.yaml", tmp_path))


def written(file: Path, name: str = NIGHTLY) -> list[dict[str, Any]]:
    entries = {one["name"]: one for one in yaml.safe_load(file.read_text())["deployments"]}
    found: list[dict[str, Any]] = entries[name].get("schedules", [])
    return found


def listed(file: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    capsys.readouterr()
    show_exports(file, as_json=True)
    return {one["name"]: one for one in json.loads(capsys.readouterr().out)["exports"]}


def schedule(file: Path, name: str = NIGHTLY, **spec: str) -> None:
    schedule_export(name, file, spec={**AT_FOUR, **spec}, clear=False, as_json=False)


def test_resuming_is_taken_out_of_the_file_where_the_server_hears_of_it(
    server: Server, file: Path
) -> None:
    server.deploy(NIGHTLY, make_schedule("nightly", active=False))
    set_export_pause(NIGHTLY, file, active=False, as_json=True)
    set_export_pause(NIGHTLY, file, active=True, as_json=True)
    assert "active" not in written(file)[0]
    assert server.told() == {"nightly": ("0 2 * * *", True)}


def test_resuming_is_written_down_where_it_is_not_deployed_there(
    server: Server, file: Path
) -> None:
    server.deploy("another")
    set_export_pause(NIGHTLY, file, active=True, as_json=True)
    assert written(file)[0]["active"] is True


@pytest.mark.parametrize("is_paused_in_file", [True, False])
def test_new_schedule_of_a_paused_export_is_off_in_file_and_on_the_server(
    server: Server,
    file: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    is_paused_in_file: bool,
) -> None:
    server.deploy(NIGHTLY, make_schedule("nightly", active=False))
    if is_paused_in_file:
        set_export_pause(NIGHTLY, file, active=False, as_json=True)
    schedule(file, slug="four")
    assert "(UTC, off). It is off; `" in capsys.readouterr().out
    assert server.told()["four"] == ("0 4 * * *", False)
    assert written(file)[1]["active"] is False
    export = listed(file, capsys)[NIGHTLY]
    assert export["runs"] == ["0 2 * * * (UTC, off)", "0 4 * * * (UTC, off)"]
    assert export["paused"]


def test_new_schedule_is_off_where_the_trigger_or_the_whole_export_is(
    server: Server, file: Path
) -> None:
    server.deploy("ad-hoc")
    server.triggers = [SimpleNamespace(enabled=False)]
    schedule(file, "ad-hoc")
    assert server.told("ad-hoc") == {"regular": ("0 4 * * *", False)}
    server.triggers = []
    server.deploy(NIGHTLY, make_schedule("nightly"))
    server.exports[NIGHTLY].paused = True
    schedule(file, slug="four")
    assert server.told()["four"] == ("0 4 * * *", False)


def test_new_schedule_is_on_where_another_is(
    server: Server, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.deploy(NIGHTLY, make_schedule("nightly"), make_schedule("noon", active=False))
    schedule(file, slug="four")
    assert server.told()["four"] == ("0 4 * * *", True)
    assert "active" not in written(file)[1]
    export = listed(file, capsys)[NIGHTLY]
    assert export["runs"] == ["0 2 * * * (UTC)", "0 2 * * * (UTC, off)", "0 4 * * * (UTC)"]
    assert not export["paused"]


def test_changed_schedule_stays_off_and_is_said_to_be(
    server: Server, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.deploy(NIGHTLY, make_schedule("nightly", active=False), make_schedule("noon"))
    schedule(file, slug="nightly")
    assert "(UTC, off)" in capsys.readouterr().out
    assert server.told()["nightly"] == ("0 4 * * *", False)
    assert "active" not in written(file)[0]  # the switch is Prefect's, as it was


@pytest.mark.parametrize("active", [True, False])
def test_schedule_made_in_prefect_is_replaced_where_it_is_the_only_one(
    server: Server, file: Path, *, active: bool
) -> None:
    server.deploy("ad-hoc", make_schedule(None, active=active))
    schedule(file, "ad-hoc")
    assert server.told("ad-hoc") == {"regular": ("0 4 * * *", active)}
    (one,) = written(file, "ad-hoc")
    assert (one["slug"], one.get("active", True)) == ("regular", active)
    server.deploy(NIGHTLY, make_schedule(None))
    schedule(file)
    assert server.told() == {"nightly": ("0 4 * * *", True)}


def test_schedule_made_in_prefect_stays_beside_one_with_a_new_slug(
    server: Server, file: Path
) -> None:
    server.deploy("ad-hoc", make_schedule(None))
    schedule(file, "ad-hoc", slug="four")
    assert server.told("ad-hoc") == {None: ("0 2 * * *", True), "four": ("0 4 * * *", True)}


@pytest.mark.parametrize(
    ("slugs", "told"),
    [
        (("nightly", None), r"\(nightly, 1 of Prefect's UI without a slug\)"),
        ((None, None), r"\(nightly, 2 of Prefect's UI without a slug\)"),
        (("nightly", "noon"), r"\(nightly, noon\)"),
    ],
)
def test_which_of_several_schedules_is_meant_is_asked(
    server: Server, file: Path, slugs: tuple[str | None, ...], told: str
) -> None:
    server.deploy(NIGHTLY, *map(make_schedule, slugs))
    with pytest.raises(CommandRefused, match=told):
        schedule(file)


def test_copy_under_the_name_of_another_s_export_is_refused(server: Server, file: Path) -> None:
    server.deploy("theirs")
    before = file.read_text()
    with pytest.raises(CommandRefused, match=f"server at {API_URL} has an export theirs that"):
        duplicate_saved("ad-hoc", "theirs", file, as_json=True)
    assert file.read_text() == before
    duplicate_saved("ad-hoc", "ours", file, as_json=True)
    assert "ours" in file.read_text()


def test_export_is_not_saved_under_the_name_of_another_s(
    server: Server, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check_export(*_: object) -> tuple[Destination, str]:
        return Destination("1", "A list"), ""

    def save(name: str, *, replace: bool = False) -> None:
        request = ExportRequest(
            connection="acme", list_id="1", profiles="p", segments=("A",), email="E"
        )
        save_export(
            Saving(name, request), file, replace=replace, dry_run=False, asks=False, as_json=True
        )

    monkeypatch.setattr(cli.save, "check_export", check_export)
    server.deploy("theirs")
    server.deploy(NIGHTLY)
    before = file.read_text()
    with pytest.raises(CommandRefused, match=r"has an export theirs .* with --replace"):
        save("theirs")
    assert file.read_text() == before
    save("ours")
    save("theirs", replace=True)
    save(NIGHTLY, replace=True)  # it is in the file
    names = [one["name"] for one in yaml.safe_load(file.read_text())["deployments"]]
    assert names[3:] == ["ours", "theirs"]


@pytest.fixture
def deploying(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = iter([Change("export", NIGHTLY, Outcome.CREATED)])
    monkeypatch.setattr(cli.deploy, "deploy", lambda _file: changes)
    monkeypatch.setattr(cli.deploy, "prefect_api", lambda _say: nullcontext())
    monkeypatch.setattr(cli.deploy, "prefect_server", lambda: nullcontext(server))
    monkeypatch.setattr(cli.deploy, "read_standing", lambda _client: None)


@pytest.mark.usefixtures("deploying")
@pytest.mark.parametrize("as_json", [True, False])
def test_deploying_says_first_which_server_it_is(
    file: Path, capsys: pytest.CaptureFixture[str], *, as_json: bool
) -> None:
    cli.deploy.deploy_exports(file, as_json=as_json)
    out = capsys.readouterr().out
    if as_json:
        assert json.loads(out)["server"] == API_URL
    else:
        first = f"Prefect server: {API_URL}"
        assert out.splitlines()[:2] == [first, f"export {NIGHTLY}: created"]


def test_file_that_makes_no_sense_is_refused_before_the_first_change_is_asked_for(
    tmp_path: Path,
) -> None:
    with pytest.raises(DeploymentRefused, match="There is no prefect"):
        deploy(tmp_path / "prefect.yaml")
