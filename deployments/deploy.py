"""Everything that exports need on a Prefect server, in its order."""

from collections.abc import Iterator
from pathlib import Path

from deployments.automations import apply_automations, define_automations
from deployments.changes import Change
from deployments.connection_type import apply_connection_type
from deployments.export_file import SavedExport, read_exports
from deployments.notifications import apply_notifications
from deployments.saved_exports import apply_exports
from deployments.server import prefect_server
from deployments.work_pool import apply_backfill_queue, apply_work_pool


def deploy(file: Path) -> Iterator[Change]:
    """Set up all that a file's exports need, and the exports; tell what became of each thing.

    The file is read at once, all else with the first change that is asked for. The automations go
    before the exports: no run can begin unwatched.

    Raises:
        DeploymentRefused: the file makes no sense; nothing was changed.
        DeploymentFailed: Prefect refused something on the way.
    """
    file = file.absolute()
    return _apply(file, read_exports(file))


def _apply(file: Path, exports: list[SavedExport]) -> Iterator[Change]:
    with prefect_server() as client:
        yield apply_work_pool(client)
        yield apply_backfill_queue(client)
        yield apply_connection_type(client)
        yield from apply_automations(client, define_automations())
        yield from apply_notifications(client)
        yield from apply_exports(client, file, exports)
