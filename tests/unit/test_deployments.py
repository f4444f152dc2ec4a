"""What the deployment command puts on a server: safe, and the same however often."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID, uuid4

import pytest
import yaml
from prefect import states
from prefect.client.schemas.objects import State, StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings

from cli.prefect_api import QUIET_PREFECT
from deployments import saved_exports
from deployments.automations import FLOWS, apply_automations, define_automations
from deployments.changes import DeploymentFailed, DeploymentRefused, Outcome
from deployments.export_file import SavedExport, read_exports
from deployments.heartbeats import FREQUENCY_VARIABLE, HEARTBEAT_S, HEARTBEAT_WINDOW_S, is_safe
from deployments.saved_exports import apply_exports, quote_reason
from deployments.server import prefect_server
from deployments.work_pool import POOL
from flows.export_segment import export_segment

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

ROOT = Path(__file__).parents[2]
CONTENT: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))

LOST, STUCK = define_automations()
ENDS: list[State[Any]] = [
    states.Completed(), states.Failed(), states.Crashed(), states.Cancelled(),
    states.Scheduled(), states.Late(), states.AwaitingRetry(), states.AwaitingConcurrencySlot(),
    states.Paused(timeout_seconds=1), states.Suspended(timeout_seconds=1),
]  # fmt: skip


def trigger_of(automation: AutomationCore) -> EventTrigger:
    assert isinstance(automation.trigger, EventTrigger)
    return automation.trigger


@pytest.mark.parametrize(
    ("frequency", "safe"),
    [
        (30, True), ("30", True), (50, True), (51, False), (180, False), (0, False), (-1, False),
        (None, False), ("", False), ("{{ HEARTBEAT }}", False),
    ],
)  # fmt: skip
def test_window_is_safe_only_for_runs_that_beat_three_times_in_it(
    frequency: object, safe: bool
) -> None:
    assert is_safe(frequency) is safe


def test_every_run_of_ours_beats_often_enough_for_the_window() -> None:
    window_s = trigger_of(LOST).within.total_seconds()
    assert window_s == HEARTBEAT_WINDOW_S
    saved = [
        int(deployment["work_pool"]["job_variables"]["env"][FREQUENCY_VARIABLE])
        for deployment in CONTENT["deployments"]
    ]
    from_the_command_line = int(QUIET_PREFECT[FREQUENCY_VARIABLE])
    assert all(window_s >= 3 * every for every in (*saved, from_the_command_line, HEARTBEAT_S))


def test_dead_run_is_noticed_within_three_minutes() -> None:
    assert trigger_of(LOST).within.total_seconds() + HEARTBEAT_S <= 180


@pytest.mark.parametrize("automation", [LOST, STUCK], ids=["lost", "stuck"])
def test_automation_crashes_only_our_runs_and_never_one_that_has_ended(
    automation: AutomationCore,
) -> None:
    trigger = trigger_of(automation)
    assert trigger.for_each == {"prefect.resource.id"}
    assert trigger.model_dump()["match_related"] == {
        "prefect.resource.role": "flow",
        "prefect.resource.name": list(FLOWS),
    }
    assert export_segment.name in FLOWS
    (action,) = automation.actions
    assert isinstance(action, ChangeFlowRunState)
    assert action.state is StateType.CRASHED
    assert action.force is False
    assert "run the export again" in (action.message or "")


@pytest.mark.parametrize("automation", [LOST, STUCK], ids=["lost", "stuck"])
def test_window_begins_anew_with_each_event_that_opens_it(automation: AutomationCore) -> None:
    """Prefect does so only where the event is among the expected as well."""
    trigger = trigger_of(automation)
    assert trigger.after < trigger.expect
    assert not any("*" in event for event in trigger.expect)


@pytest.mark.parametrize("state", ENDS, ids=[str(state.name) for state in ENDS])
@pytest.mark.parametrize("automation", [LOST, STUCK], ids=["lost", "stuck"])
def test_run_that_left_for_another_state_is_watched_no_longer(
    automation: AutomationCore, state: State[Any]
) -> None:
    assert f"prefect.flow-run.{state.name}" in trigger_of(automation).expect


def test_run_that_is_running_is_not_stuck_pending() -> None:
    assert "prefect.flow-run.Running" in trigger_of(STUCK).expect
    assert trigger_of(STUCK).within.total_seconds() == 900


class Server:
    """As much of a Prefect server as keeps automations."""

    def __init__(self) -> None:
        self.kept: dict[UUID, AutomationCore] = {}

    def read_automations_by_name(self, name: str) -> list[Automation]:
        return [
            Automation(id=one, **automation.model_dump())
            for one, automation in self.kept.items()
            if automation.name == name
        ]

    def create_automation(self, automation: AutomationCore) -> UUID:
        self.kept[one := uuid4()] = automation.model_copy(deep=True)
        return one

    def update_automation(self, automation_id: UUID, automation: AutomationCore) -> None:
        sent = automation.model_dump(exclude_unset=True)  # as Prefect's client does
        assert "owner_resource" not in sent, "which Prefect's server refuses"
        self.kept[automation_id] = AutomationCore.model_validate(sent)

    def delete_automation(self, automation_id: UUID) -> None:
        del self.kept[automation_id]


def apply_to(server: Server, *wanted: AutomationCore) -> list[Outcome]:
    client = cast("SyncPrefectClient", server)
    return [change.outcome for change in apply_automations(client, wanted)]


def test_automations_are_created_once_and_unchanged_from_then_on() -> None:
    server = Server()
    assert apply_to(server, *define_automations()) == [Outcome.CREATED] * 2
    assert apply_to(server, *define_automations()) == [Outcome.UNCHANGED] * 2
    assert sorted(one.name for one in server.kept.values()) == sorted([LOST.name, STUCK.name])


@pytest.mark.parametrize(
    "change",
    [
        {"enabled": False},
        {"description": "another"},
        {"trigger": trigger_of(STUCK)},
        {"actions": STUCK.actions},
    ],
    ids=["switched off", "description", "trigger", "action"],
)
def test_automation_that_differs_is_put_right_in_its_place(change: dict[str, Any]) -> None:
    server = Server()
    one = server.create_automation(LOST.model_copy(update=change))
    assert apply_to(server, LOST) == [Outcome.UPDATED]
    assert list(server.kept) == [one]
    assert apply_to(server, LOST) == [Outcome.UNCHANGED]


def test_repeated_automations_are_made_one() -> None:
    server = Server()
    for _ in range(3):
        server.create_automation(LOST)
    stranger = server.create_automation(LOST.model_copy(update={"name": "somebody else's"}))
    assert apply_to(server, LOST) == [Outcome.UPDATED]
    assert len(server.kept) == 2
    assert stranger in server.kept
    assert apply_to(server, LOST) == [Outcome.UNCHANGED]


@pytest.mark.parametrize("error", [ObjectNotFound(Exception()), ObjectAlreadyExists(Exception())])
def test_what_others_do_on_the_server_meanwhile_is_told_in_one_line(error: Exception) -> None:
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}),
        pytest.raises(DeploymentFailed, match="Run this again") as caught,
        prefect_server(),
    ):
        raise error
    assert "\n" not in str(caught.value)


def test_schedules_of_a_file_are_known_by_their_slugs(tmp_path: Path) -> None:
    (known,) = read_exports(write_with(tmp_path, "tags", value=[]))
    assert known.slugs == {"nightly"}
    (none,) = read_exports(write_with(tmp_path, "schedules", value=None))
    assert none.slugs == frozenset()
    theirs = {"slug": "{{ theirs }}", "cron": "0 2 * * *"}
    (unknown,) = read_exports(write_with(tmp_path, "schedules", value=[theirs]))
    assert unknown.slugs is None


def test_own_file_is_one_that_can_be_deployed() -> None:
    entrypoint = "flows/export_segment.py:export_segment"
    assert read_exports(ROOT / "prefect.yaml") == [
        SavedExport("nightly-loyalty", entrypoint),
        SavedExport("ad-hoc", entrypoint),
        SavedExport("backfill", "flows/backfill_export.py:backfill_export"),
    ]
    assert {entry["work_pool"]["name"] for entry in CONTENT["deployments"]} == {POOL}


def write_with(folder: Path, *path: str, value: object) -> Path:
    """Our file, with something in its first export replaced, or taken out where None."""
    content = yaml.safe_load(yaml.safe_dump(CONTENT))
    content["deployments"] = content["deployments"][:1]
    at = content["deployments"][0]
    for key in path[:-1]:
        at = at[key]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    flow = folder / "flows" / "export_segment.py"
    flow.parent.mkdir(exist_ok=True)
    flow.touch()
    file = folder / "prefect.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


ENV = ("work_pool", "job_variables", "env", FREQUENCY_VARIABLE)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("name",), None, "export 1: `name:` is missing"),
        (("entrypoint",), None, "export 1: `entrypoint:` is missing"),
        (("entrypoint",), "flows/nope.py:f", "export nightly-loyalty: its entrypoint flows/nope"),
        (("concurency_limit",), 1, "`concurency_limit:` is a key that Prefect ignores"),
        (("work_pool", "queue"), "q", "`work_pool: queue:` is a key that Prefect ignores"),
        (("concurrency_limit", "max"), 2, "`concurrency_limit: max:` is a key"),
        (
            ("schedules",),
            [{"cron": "0 2 * * *", "slot": "x"}],
            "its schedule: slot: a schedule has",
        ),
        (("parameters", "request", "email"), None, "its request: email: Field required"),
        (("parameters", "request", "emai"), "x", "its request: emai: Extra inputs"),
        (ENV, None, "without frequent heartbeats"),
        (ENV, "180", "without frequent heartbeats"),
        (("work_pool", "job_variables"), {}, 'PREFECT_FLOWS_HEARTBEAT_FREQUENCY: "30"'),
    ],
)
def test_file_is_refused_naming_what_is_wrong_when_it_would_deploy_to_something_else(
    tmp_path: Path, path: tuple[str, ...], value: object, told: str
) -> None:
    with pytest.raises(DeploymentRefused) as refusal:
        read_exports(write_with(tmp_path, *path, value=value))
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_request_with_references_is_left_to_prefect(tmp_path: Path) -> None:
    file = write_with(
        tmp_path, "parameters", "request", value="{{ prefect.variables.loyal_customers }}"
    )
    assert [export.name for export in read_exports(file)] == ["nightly-loyalty"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("deployments: [", "is not YAML (line "),
        ("- a", "has no list of exports"),
        ("deployments:", "has no list of exports"),
        ("deployments: {a: b}", "has no list of exports"),
        ("deployments: [a]", "export 1: `name:` is missing"),
    ],
)
def test_broken_file_is_refused(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "prefect.yaml"
    file.write_text(text)
    with pytest.raises(DeploymentRefused) as refusal:
        read_exports(file)
    assert told in str(refusal.value)


def test_missing_file_is_refused_saying_where_to_go(tmp_path: Path) -> None:
    with pytest.raises(DeploymentRefused, match=r"There is no prefect\.yaml in .* --file"):
        read_exports(tmp_path / "prefect.yaml")


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("╭─ Error ─╮\n│ no such │\n│ pool    │\n╰─────────╯\n", "Error no such pool"),
        ("Traceback …\n  File x\n    ^^^^\nValueError: bad cron\n", "ValueError: bad cron"),
        ("refused - For more information check: https://x", "refused"),
    ],
)
def test_what_prefect_says_is_quoted_on_one_line(output: str, told: str) -> None:
    assert quote_reason(output) == told


def test_long_answer_of_prefect_is_cut_at_its_beginning() -> None:
    quoted = quote_reason("word " * 200 + "the end")
    assert quoted.startswith("…")
    assert quoted.endswith("the end")
    assert len(quoted) == 301


def test_deployment_that_does_not_end_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Empty:
        def read_deployments(self, **_filters: object) -> list[object]:
            return []

    monkeypatch.setattr(saved_exports, "_PREFECT_TIMEOUT_S", 0.01)
    with pytest.raises(DeploymentFailed, match=r"has not deployed prefect\.yaml") as caught:
        apply_exports(cast("SyncPrefectClient", Empty()), tmp_path / "prefect.yaml", [])
    assert "\n" not in str(caught.value)
