"""Saved exports as they are on the server: looked at, paused, scheduled, detached and removed."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentUpdate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import (
    TERMINAL_STATES,
    DeploymentSchedule,
    FlowRun,
    StateType,
)
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.events.schemas.automations import Automation

from deployments.export_entry import FLOW
from deployments.form_choices import allow_connection
from deployments.schedules import read_schedule

_PAGE = 200  # what Prefect's server gives at once
PLANNED_WITHIN_S = 2.0  # of when Prefect's scheduler has read the schedules, mostly


@dataclass(frozen=True, slots=True)
class LastRun:
    """How the last run of an export that has ended came out."""

    state: str
    message: str
    at: datetime | None


def read_exports_on_server(client: SyncPrefectClient) -> dict[str, DeploymentResponse]:
    """Read all exports that are deployed, by name."""
    exports: dict[str, DeploymentResponse] = {}
    while True:
        page = client.read_deployments(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[FLOW])), offset=len(exports)
        )
        exports |= {one.name: one for one in page}
        if len(page) < _PAGE:
            return exports


def read_last_run(client: SyncPrefectClient, export: DeploymentResponse) -> LastRun | None:
    """Read what came of an export's last run that has ended."""
    run = _read_run(client, export, list(TERMINAL_STATES), FlowRunSort.END_TIME_DESC)
    if run is None or run.state is None:
        return None
    return LastRun(run.state.name or "", run.state.message or "", run.end_time)


def read_next_run(client: SyncPrefectClient, export: DeploymentResponse) -> datetime | None:
    """Read when an export runs next, as far as its runs are planned."""
    soonest = FlowRunSort.EXPECTED_START_TIME_ASC
    run = _read_run(client, export, [StateType.SCHEDULED], soonest)
    return run.expected_start_time if run else None


def read_triggers(client: SyncPrefectClient, export: DeploymentResponse) -> list[Automation]:
    """Read the automations that run an export when something has happened."""
    return client.read_resource_related_automations(_resource_of(export))


def is_paused(export: DeploymentResponse, triggers: list[Automation]) -> bool:
    """Say whether nothing starts an export by itself, though something could."""
    switches = read_switches(export, triggers)
    return bool(switches) and not any(switches)


def read_switches(export: DeploymentResponse, triggers: list[Automation]) -> list[bool]:
    """List which schedules and triggers of an export are on; with itself all of them are off."""
    switches = [one.active for one in export.schedules] + [one.enabled for one in triggers]
    return [is_on and not export.paused for is_on in switches]


def set_export_active(
    client: SyncPrefectClient,
    export: DeploymentResponse,
    *,
    active: bool,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Pause or resume the schedules and triggers of an export.

    Prefect's scheduler reads the schedules and plans their runs a moment later. So a pause is said
    twice: the second takes away the runs that came after the first. One that comes later still
    ends itself when it begins.
    """
    _switch_schedules(client, export, active=active)
    for automation in read_triggers(client, export):
        if automation.enabled is not active:
            switch = client.resume_automation if active else client.pause_automation
            switch(automation.id)
    if active and export.paused:
        client.update_deployment(export.id, DeploymentUpdate(paused=False))
    if not active and export.schedules:
        sleep(PLANNED_WITHIN_S)
        _switch_schedules(client, export, active=False)


def find_schedule(
    export: DeploymentResponse, slug: str, *, or_unnamed: bool
) -> DeploymentSchedule | None:
    """Find the schedule with a slug; or the only one, if it has none: it was made in the UI."""
    for schedule in export.schedules:
        if schedule.slug == slug:
            return schedule
    is_unnamed = [one.slug for one in export.schedules] == [None]
    return export.schedules[0] if or_unnamed and is_unnamed else None


def put_schedule(
    client: SyncPrefectClient,
    export: DeploymentResponse,
    spec: dict[str, Any],
    *,
    or_unnamed: bool = False,
) -> None:
    """Give an export a schedule, in the place of the one that `find_schedule` finds, if any."""
    schedule, slug = read_schedule(spec), spec["slug"]
    if existing := find_schedule(export, slug, or_unnamed=or_unnamed):
        client.update_deployment_schedule(export.id, existing.id, schedule=schedule, slug=slug)
        return
    is_on = spec.get("active") is not False
    new = DeploymentScheduleCreate(schedule=schedule, active=is_on, slug=slug)
    client.create_deployment_schedules(export.id, [new])


def remove_schedules(client: SyncPrefectClient, export: DeploymentResponse) -> None:
    """Take all schedules of an export away, with the runs that they have planned."""
    for schedule in export.schedules:
        client.delete_deployment_schedule(export.id, schedule.id)


def attach_export(client: SyncPrefectClient, export: DeploymentResponse, connection: str) -> None:
    """Let an export go through a connection, and its form offer that."""
    request = (export.parameters or {}).get("request")
    if not isinstance(request, dict):
        return
    request = {**request, "connection": connection}
    client.update_deployment(
        export.id,
        DeploymentUpdate(
            parameters={**export.parameters, "request": request},
            parameter_openapi_schema=allow_connection(
                export.parameter_openapi_schema or {}, connection
            ),
        ),
    )


def detach_export(client: SyncPrefectClient, export: DeploymentResponse) -> None:
    """Leave an export without a connection, and its form able to say so."""
    attach_export(client, export, "")


def remove_export(client: SyncPrefectClient, export: DeploymentResponse) -> None:
    """Remove an export with its triggers and planned runs; the runs that were stay."""
    client.delete_resource_owned_automations(_resource_of(export))
    client.delete_deployment(export.id)


def _switch_schedules(
    client: SyncPrefectClient, export: DeploymentResponse, *, active: bool
) -> None:
    """Switch schedules on or off; one that is off already loses what is planned all the same."""
    for schedule in export.schedules:
        if not (active and schedule.active):
            client.update_deployment_schedule(export.id, schedule.id, active=active)


def _resource_of(export: DeploymentResponse) -> str:
    return f"prefect.deployment.{export.id}"


def _read_run(
    client: SyncPrefectClient,
    export: DeploymentResponse,
    states: list[StateType],
    sort: FlowRunSort,
) -> FlowRun | None:
    found = client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[export.id])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states))
        ),
        sort=sort,
        limit=1,
    )
    return found[0] if found else None
