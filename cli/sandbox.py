"""`segment-export sandbox`: serve the stand-in API, and say how to connect to it."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Thread

import sandbox
from cli.errors import CommandRefused
from cli.naming import command_path
from pipeline import ReportUnwritable
from pipeline.private_files import make_private_folder, write_private_file


@dataclass(frozen=True, slots=True)
class SandboxPlace:
    """Where a sandbox answers and what it takes to get in; its secrets are in private files."""

    api_url: str
    auth_url: str
    admin_url: str
    client_id: str
    client_secret_file: str
    refresh_token_file: str
    lists: dict[str, str]

    @property
    def connect_command(self) -> str:
        """Give the command that connects to it."""
        return self._command(f"--refresh-token-file {self.refresh_token_file} ")

    @property
    def sign_in_command(self) -> str:
        """Give the command that signs in to it by browser."""
        return self._command("")

    def _command(self, option: str) -> str:
        return (
            f"{command_path('segment-export')} connect sandbox --client-id {self.client_id} "
            f"--client-secret-file {self.client_secret_file} {option}"
            f"--api-url {self.api_url} --auth-url {self.auth_url} --accept-data-privacy"
        )


def serve_sandbox(
    *, port: int, folder: Path, lists: list[str], custom_fields: list[str], as_json: bool
) -> None:
    """Serve a sandbox until interrupted, after saying where it is and how to connect to it.

    Raises:
        CommandRefused: the port is taken, or the folder cannot be written.
    """

    def prepare(box: sandbox.Box) -> None:
        for label in custom_fields:
            box.add_custom_field(label)
        place = write_secrets(box, folder, {name: box.add_list(name) for name in lists})
        sys.stdout.write(json.dumps(asdict(place)) + "\n" if as_json else _describe(place))
        sys.stdout.flush()

    try:
        folder = make_private_folder(folder)
        # In a thread of its own, as `ready` is called on the loop that would do what it asks for.
        sandbox.serve(port=port, ready=lambda box: Thread(target=prepare, args=(box,)).start())
    except ReportUnwritable as error:
        raise CommandRefused(str(error)) from error
    except OSError as error:
        raise CommandRefused(
            f"The sandbox cannot listen on port {port}: {error.strerror}. Choose another --port, "
            "or 0 for a free one."
        ) from error


def write_secrets(box: sandbox.Box, folder: Path, lists: dict[str, str]) -> SandboxPlace:
    """Write a sandbox's secrets into private files, and tell where everything is."""
    folder = make_private_folder(folder)
    place = SandboxPlace(
        api_url=box.api_url,
        auth_url=box.auth_url,
        admin_url=box.admin_url,
        client_id=box.client_id,
        client_secret_file=str(folder / "client-secret"),
        refresh_token_file=str(folder / "refresh-token"),
        lists=lists,
    )
    write_private_file(Path(place.client_secret_file), box.client_secret + "\n")
    write_private_file(Path(place.refresh_token_file), box.refresh_token + "\n")
    return place


def _describe(place: SandboxPlace) -> str:
    lists = "".join(f"  {name}: {list_id}\n" for name, list_id in place.lists.items())
    return (
        f"A stand-in Constant Contact answers at {place.api_url}; nothing leaves this machine.\n"
        f"Its contact lists:\n{lists}"
        f"Connect to it from another terminal:\n  {place.connect_command}\n"
        "or sign in by browser (with --device: on any device):\n"
        f"  {place.sign_in_command}\n"
        f"Look into it: {place.admin_url}\n"
        "Ctrl-C stops it and forgets everything.\n"
    )
