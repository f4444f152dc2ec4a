"""One delivery: its profiles, the account that it goes to, and every run that was made of it."""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

import sandbox
from sandbox import AppCredentials, RequestRecord, SandboxSettings
from tests.reliability.processes import Commands, Ended, Running

CONTACTS = 1_300  # at 6.4 kB each: three batches
INVALID = 3
DUPLICATES = 2
CUSTOM_FIELDS = 25
VALUE_CHARACTERS = 255
PROCESSING_S = 1.4  # so that the first poll finds imports under way, also on a busy machine

RunCommand = Callable[..., Ended]

_serial = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of the delivery: how it ended, what it asked for, and what the account held then.

    `earlier_ids` are the activities that were there before it began; `took_s` is what it took.
    """

    ended: Ended
    requests: list[RequestRecord]
    members: dict[str, dict[str, str]]
    activities: list[dict[str, Any]]
    earlier_ids: frozenset[str]
    took_s: float
    was_killed: bool = False


@dataclass(frozen=True, slots=True)
class _Before:
    """What there was when a run began."""

    at_s: float
    requests: int
    activity_ids: frozenset[str]


@dataclass(slots=True)
class Delivery:
    """A list of its own, a connection of its own, profiles of its own."""

    box: sandbox.Box
    commands: Commands
    folder: Path
    list_id: str
    client: AppCredentials
    connection: str
    domain: str
    run_command: RunCommand
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def expected(self) -> dict[str, dict[str, str]]:
        """Every member with some of the fields that they should have."""
        return {
            f"p{n:04}@{self.domain}": {"first_name": f"Name {n:04}", "cf:field_7": _value(n, 7)}
            for n in range(CONTACTS)
        }

    def run(self, *more: str, window_minutes: float = 60.0) -> Attempt:
        """Run the export to its end, with more options if need be."""
        before = self._look()
        ended = self.run_command(self.folder, *self._arguments(window_minutes), *more)
        return self._note(before, ended)

    def start(self) -> tuple[Running, Callable[[Ended], Attempt]]:
        """Start the export; what it returns second notes how it ended by kill -9."""
        before = self._look()
        running = self.commands.start(self.folder, *self._arguments(60.0))
        return running, lambda ended: self._note(before, ended, was_killed=True)

    def connect_again(self) -> Ended:
        """Sign in anew, as a person would when the sign-in is lost."""
        fresh = self.box.add_client(self.client.client_id)
        secret, token = self.folder / "client-secret", self.folder / "refresh-token"
        secret.write_text(fresh.client_secret)
        token.write_text(fresh.refresh_token)
        return self.commands.run(
            self.folder, "connect", self.connection,
            "--client-id", fresh.client_id,
            "--client-secret-file", secret,
            "--refresh-token-file", token,
            "--api-url", self.box.api_url,
            "--auth-url", self.box.auth_url,
            "--accept-data-privacy",
        )  # fmt: skip

    def _arguments(self, window_minutes: float) -> list[str | Path]:
        return [
            "run", "--connection", self.connection, "--list-id", self.list_id, "--json",
            "--profiles", self.folder / "profiles.parquet", "--segments-column", "Segments",
            "--segment", "Gold", "--email", "EMail", "--first-name", "FirstName",
            "--window-minutes", str(window_minutes),
            "--report-dir", self.folder / f"report-{len(self.attempts)}",
            *(
                word
                for number in range(CUSTOM_FIELDS)
                for word in ("--attribute", f"Field{number}=cf:field_{number}")
            ),
        ]  # fmt: skip

    def _look(self) -> _Before:
        ids = frozenset(activity["activity_id"] for activity in self.box.state.activities())
        return _Before(time.monotonic(), len(self.box.state.requests()), ids)

    def _note(self, before: _Before, ended: Ended, *, was_killed: bool = False) -> Attempt:
        attempt = Attempt(
            ended=ended,
            requests=self.box.state.requests()[before.requests :],
            members=self.box.state.members(self.list_id),
            activities=self.box.state.activities(),
            earlier_ids=before.activity_ids,
            took_s=time.monotonic() - before.at_s,
            was_killed=was_killed,
        )
        self.attempts.append(attempt)
        return attempt


@contextmanager
def account_running(processing_s: float = PROCESSING_S) -> Iterator[sandbox.Box]:
    """Run a sandbox whose account has the custom fields that the profiles fill."""
    with sandbox.running(SandboxSettings(processing_s=processing_s)) as box:
        for number in range(CUSTOM_FIELDS):
            box.add_custom_field(f"field_{number}")
        yield box


def new_delivery(
    commands: Commands, box: sandbox.Box, folder: Path, run_command: RunCommand | None = None
) -> Delivery:
    """Make up a delivery that nothing of is done yet; its connection has to sign in first."""
    name = f"delivery-{next(_serial)}"
    folder = folder / name
    folder.mkdir()
    client = box.add_client()
    commands.save_connection(
        name,
        client_id=client.client_id,
        client_secret=client.client_secret,
        refresh_token=client.refresh_token,
        api_url=box.api_url,
        auth_url=box.auth_url,
    )
    domain = f"{name}.example.com"
    _write_profiles(folder / "profiles.parquet", domain)
    return Delivery(
        box=box,
        commands=commands,
        folder=folder,
        list_id=box.add_list(name),
        client=client,
        connection=name,
        domain=domain,
        run_command=run_command or commands.run,
    )


def _value(contact: int, number: int) -> str:
    return f"{contact:04} {number:02} ".ljust(VALUE_CHARACTERS, "x")


def _write_profiles(path: Path, domain: str) -> None:
    emails = [f"p{n:04}@{domain}" for n in range(CONTACTS)]
    emails += [f"invalid {n} at {domain}" for n in range(INVALID)]
    emails += [f"P{n:04}@{domain}" for n in range(DUPLICATES)]
    rows = len(emails)
    numbers = pl.int_range(rows, eager=True).cast(pl.String).str.zfill(4)
    fields = {
        f"Field{k}": (numbers + f" {k:02} ").str.pad_end(VALUE_CHARACTERS, "x")
        for k in range(CUSTOM_FIELDS)
    }
    pl.DataFrame(
        {
            "CustomerId": "c" + numbers,
            "EMail": emails,
            "FirstName": "Name " + numbers,
            "Segments": pl.repeat(["Gold"], rows, dtype=pl.List(pl.String), eager=True),
            **fields,
        }
    ).write_parquet(path)
