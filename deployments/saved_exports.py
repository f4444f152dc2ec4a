"""Saved exports on the server: put there by Prefect's own command, compared before and after."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.responses import DeploymentResponse

from deployments.changes import Change, DeploymentFailed, Outcome
from deployments.export_file import SavedExport
from deployments.form_choices import offer_choices

_PREFECT_TIMEOUT_S = 600.0
_LONGEST_REASON = 300

# What makes a saved export; the rest of what the server tells is identity and book-keeping.
_SUBSTANCE = (
    "description", "version", "tags", "path", "paused", "parameters", "parameter_openapi_schema",
    "enforce_parameter_schema", "pull_steps", "job_variables", "work_pool_name",
    "work_queue_name", "concurrency_options",
)  # fmt: skip
_SCHEDULE_SUBSTANCE = ("slug", "active", "schedule", "parameters")


def apply_exports(
    client: SyncPrefectClient, file: Path, exports: list[SavedExport]
) -> list[Change]:
    """Deploy the exports of a file with `prefect deploy`, and tell what that has changed.

    Raises:
        DeploymentFailed: Prefect refused the file, or did not come to an end.
    """
    before = _read_substance(client, exports)
    done = _run_prefect_deploy(file)
    offer_choices(client, _find(client, exports), file.parent)
    removed = _remove_schedules(client, exports) if done.returncode == 0 else []
    after = _read_substance(client, exports)
    missing = [export.name for export in exports if export not in after]
    if done.returncode != 0 or missing:
        raise DeploymentFailed(
            f"Prefect did not deploy {', '.join(missing) or file.name}: "
            f"{quote_reason(done.stdout + done.stderr)} Mend {file.name} and run this again."
        )
    return [
        Change("export", export.name, _compare(before.get(export), after[export]))
        for export in exports
    ] + removed


def _remove_schedules(client: SyncPrefectClient, exports: list[SavedExport]) -> list[Change]:
    """Remove the schedules that the file has no more; Prefect's command leaves them running.

    Those without a slug were made by hand in Prefect's UI, and stay.
    """
    wanted = {export: export.slugs for export in exports}
    removed = []
    for deployment in _find(client, exports):
        slugs = wanted[SavedExport(deployment.name, deployment.entrypoint or "")]
        for schedule in deployment.schedules:
            if slugs is not None and schedule.slug and schedule.slug not in slugs:
                client.delete_deployment_schedule(deployment.id, schedule.id)
                name = f"{schedule.slug} of {deployment.name}"
                removed.append(Change("schedule", name, Outcome.REMOVED))
    return removed


def _run_prefect_deploy(file: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 -- Prefect's own command; the file is the person's
            [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all",
             "--prefect-file", file.name],
            cwd=file.parent,
            capture_output=True,
            text=True,
            timeout=_PREFECT_TIMEOUT_S,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise DeploymentFailed(
            f"Prefect has not deployed {file.name} within {_PREFECT_TIMEOUT_S / 60:.0f} minutes "
            "and was stopped: part of it may be there. Look whether the Prefect server is well, "
            "and run this again."
        ) from error


def quote_reason(output: str) -> str:
    """Put the end of what Prefect printed on one line, without frames and source lines."""
    if "Traceback" in output:
        output = output.rstrip().rpartition("\n")[2]
    text = " ".join("".join(" " if letter in "╭╮╰╯─│┃" else letter for letter in output).split())
    text = text.partition(" - For more information check:")[0]
    return text if len(text) <= _LONGEST_REASON else "…" + text[-_LONGEST_REASON:]


def _find(client: SyncPrefectClient, exports: list[SavedExport]) -> list[DeploymentResponse]:
    names = [export.name for export in exports]
    found = client.read_deployments(
        deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=names))
    )
    return [one for one in found if SavedExport(one.name, one.entrypoint or "") in exports]


def _read_substance(
    client: SyncPrefectClient, exports: list[SavedExport]
) -> dict[SavedExport, dict[str, Any]]:
    return {
        SavedExport(deployment.name, deployment.entrypoint or ""): {
            **_substance(deployment),
            "triggers": _read_triggers(client, deployment),
        }
        for deployment in _find(client, exports)
    }


def _read_triggers(
    client: SyncPrefectClient, deployment: DeploymentResponse
) -> list[dict[str, Any]]:
    """Read what triggers an export; Prefect makes its automations anew with each deploy."""
    found = client.read_resource_related_automations(f"prefect.deployment.{deployment.id}")
    told = [
        automation.model_dump(mode="json", include={"name", "description", "enabled", "trigger"})
        for automation in found
    ]
    return sorted((_without_ids(one) for one in told), key=str)


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_ids(one) for key, one in sorted(value.items()) if key != "id"}
    if isinstance(value, list):  # of events, which are sets
        return sorted((_without_ids(one) for one in value), key=str)
    return value


def _substance(deployment: DeploymentResponse) -> dict[str, Any]:
    told = deployment.model_dump(mode="json")
    schedules = [
        {key: schedule.get(key) for key in _SCHEDULE_SUBSTANCE} for schedule in told["schedules"]
    ]
    return {
        **{key: told.get(key) for key in _SUBSTANCE},
        "concurrency_limit": (told.get("global_concurrency_limit") or {}).get("limit"),
        "schedules": sorted(schedules, key=str),
    }


def _compare(before: dict[str, Any] | None, after: dict[str, Any]) -> Outcome:
    if before is None:
        return Outcome.CREATED
    return Outcome.UNCHANGED if before == after else Outcome.UPDATED
