"""`segment-export notify`: who is told when an export fails, is degraded or has recovered."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from cli.deploy import require_server
from cli.errors import CommandFailed, CommandRefused
from cli.prefect_api import prefect_api
from deployments.changes import Change, DeploymentFailed, DeploymentRefused
from deployments.channels import CHANNELS, send_test
from deployments.notifications import load_block, remove_notifications, save_block
from deployments.server import prefect_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from prefect.client.orchestration import SyncPrefectClient

STANDARD_INPUT = Path("-")
NOBODY = (
    "Nobody is told about exports yet. Say how with --webhook-file, --slack-file or --email-file."
)


def set_notifications(channel: str, address_file: Path, *, tests: bool, as_json: bool) -> None:
    """Have messages sent through a channel from now on, instead of any other.

    Raises:
        CommandRefused: the address makes no sense; nothing was changed.
        CommandFailed: the test message was not taken (nothing was changed), or Prefect refused.
    """
    address = _read_address(address_file)

    def save(client: "SyncPrefectClient") -> list[Change]:
        if tests:  # with a block of its own: sending leaves the message behind in some
            send_test(CHANNELS[channel](address))
        return save_block(client, CHANNELS[channel](address))

    _change(save, as_json=as_json, has_tested=tests)


def stop_notifications(*, as_json: bool) -> None:
    """Tell nobody from now on."""
    _change(remove_notifications, as_json=as_json, has_tested=False)


def try_notifications(*, as_json: bool) -> None:
    """Send a test message through what is set up.

    Raises:
        CommandRefused: nothing is set up.
        CommandFailed: the message was not taken.
    """

    def send(client: "SyncPrefectClient") -> list[Change]:
        block = load_block(client)
        if block is None:
            raise DeploymentRefused(NOBODY)
        send_test(block)
        return []

    _change(send, as_json=as_json, has_tested=True)


def _change(
    change: "Callable[[SyncPrefectClient], list[Change]]", *, as_json: bool, has_tested: bool
) -> None:
    require_server("to have messages sent by")
    try:
        with prefect_api(lambda _: None), prefect_server() as client:
            changes = change(client)
    except DeploymentRefused as error:
        raise CommandRefused(str(error)) from error
    except DeploymentFailed as error:
        raise CommandFailed(str(error)) from error
    if as_json:
        document = {"changes": [asdict(one) for one in changes], "test_sent": has_tested}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        return
    for one in changes:
        sys.stdout.write(f"{one.kind} {one.name}: {one.outcome}\n")
    if has_tested:
        sys.stdout.write("The test message was taken.\n")
    elif not changes:
        sys.stdout.write("There was nothing to remove.\n")


def _read_address(path: Path) -> str:
    """Read an address with its secrets from a file, or from standard input."""
    try:
        text = sys.stdin.read() if path == STANDARD_INPUT else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise CommandRefused(f"The file {path} cannot be read: {reason}.") from None
    if len(text.split()) != 1:
        found = "several words" if text.strip() else "nothing"
        raise CommandRefused(
            f"The file should hold one address and no more, and holds {found}. Put the address "
            "there as it was given to you, and run this again; nothing was saved."
        )
    return text.strip()
