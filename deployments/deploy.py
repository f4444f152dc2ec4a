"""Everything that exports need on a Prefect server, in its order."""

from collections.abc import Iterator
from pathlib import Path

import httpx
from prefect.client.orchestration import get_client

from deployments.automations import apply_automations, define_automations
from deployments.changes import Change, DeploymentFailed
from deployments.export_file import read_exports
from deployments.saved_exports import apply_exports
from deployments.work_pool import apply_work_pool


def deploy(file: Path) -> Iterator[Change]:
    """Set up the work pool, the saved exports of a file and the automations, telling each.

    The automations go before the exports: no run can begin unwatched.

    Raises:
        DeploymentRefused: the file makes no sense; nothing was changed.
        DeploymentFailed: Prefect refused something on the way.
    """
    file = file.absolute()
    exports = read_exports(file)
    try:
        with get_client(sync_client=True) as client:
            yield apply_work_pool(client)
            yield from apply_automations(client, define_automations())
            yield from apply_exports(client, file, exports)
    except httpx.HTTPStatusError as error:
        raise DeploymentFailed(
            f"The Prefect API refused a request (HTTP {error.response.status_code}); "
            "PREFECT_API_AUTH_STRING may be wrong. Put that right and run this again."
        ) from error
    except httpx.HTTPError as error:
        raise DeploymentFailed(
            f"The Prefect API stopped answering ({type(error).__name__}). Run this again when it "
            "answers: it goes on with what is missing."
        ) from error
