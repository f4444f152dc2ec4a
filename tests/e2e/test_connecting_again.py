"""Connecting under a name that is there: what is not said anew stays, and others are kept out."""

import os
import pwd
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox import Fault
from tasks.connection_block import load_connection
from tasks.errors import UnknownConnection
from tasks.permission import os_user
from tasks.token_store import ConnectionTokenStore
from tests.e2e.office import Office


def test_connecting_again_with_a_token_changes_only_what_is_said(
    office: Office, vaulted: tuple[str, Path]
) -> None:
    name, folder = vaulted
    office.edit(name, may_use=["anna"], contact_allowance=500, daily_requests=20_000)
    before = office.ask(load_connection(name))
    token = office.world.box.add_client(name)
    done = office.connect(name, "--contact-allowance", "700", app=token)
    assert done.code == 0, done.err
    after = office.ask(load_connection(name))
    assert (after.may_use, after.contact_allowance, after.daily_requests) == (["anna"], 700, 20_000)
    assert (after.vault, Path(after.vault_file).parent) == ("file", folder)
    assert not after.refresh_token.get_secret_value()
    kept = ("administrators", "account_id", "api_url", "auth_url", "privacy_accepted_at")
    assert [getattr(after, one) for one in kept] == [getattr(before, one) for one in kept]
    assert not Path(before.vault_file).exists()
    office.edit(name, may_use=[os_user().name])
    assert office.here("connections", "test", name).code == 0


def test_connecting_again_with_a_token_of_another_account_leaves_all_as_it_was(
    office: Office, vaulted: tuple[str, Path]
) -> None:
    name, _ = vaulted
    before = office.ask(load_connection(name))
    elsewhere = '{"encoded_account_id": "other", "organization_name": "Elsewhere"}'
    office.world.box.script(Fault(operation="account", kind="status", status=200, body=elsewhere))
    done = office.connect(name, app=office.world.box.add_client())
    assert done.code == 2
    assert "another account (Elsewhere, other)" in done.err
    assert "the connection is as it was; the refresh token that was given is spent" in done.err
    assert office.ask(load_connection(name)) == before
    assert office.here("connections", "test", name).code == 0


def test_an_account_that_is_not_named_is_not_taken_for_another_one(
    office: Office, vaulted: tuple[str, Path]
) -> None:
    name, _ = vaulted
    nameless = Fault(operation="account", kind="status", status=200, body='{"message": "Down"}')
    office.world.box.script(nameless)
    done = office.connect(name, app=office.world.box.add_client())
    assert done.code == 0, done.err
    before = office.ask(load_connection(name))
    office.world.box.script(replace(nameless, repeat=6))
    done = office.connect(name, app=office.world.box.add_client())
    assert done.code == 1
    assert "does not say which one it is" in done.err
    assert "the connection is as it was; the refresh token that was given is spent" in done.err
    assert office.ask(load_connection(name)) == before


@pytest.mark.parametrize("option", ["--api-url", "--auth-url"])
def test_an_address_that_leads_nowhere_is_refused_before_signing_in(
    office: Office, option: str
) -> None:
    name = f"nowhere-{uuid.uuid4().hex[:8]}"
    more = ("--client-id", "any", "--accept-data-privacy", "--no-open")
    done = office.connect(name, option, "http://127.0.0.1:99999/v3", *more)
    assert done.code == 2
    assert f"names port 99999; a port is a number from 1 to 65535. Correct {option}" in done.err
    assert "Sign in to Constant Contact" not in done.err
    with pytest.raises(UnknownConnection):
        office.ask(load_connection(name))


def test_connecting_again_with_another_application_wants_its_secret(office: Office) -> None:
    name = office.save()
    other = office.world.box.add_client()
    done = office.connect(name, app=other)
    assert done.code == 0, done.err
    kept = office.ask(ConnectionTokenStore(name).load_secrets())
    assert kept.client_secret.get_secret_value() == other.client_secret
    assert office.ask(load_connection(name)).client_id == other.client_id


@pytest.mark.parametrize("more", [(), ("--client-id", "any", "--accept-data-privacy")])
def test_who_may_not_change_a_connection_is_refused_before_signing_in(
    office: Office, more: tuple[str, ...]
) -> None:
    name = office.save(administrators=["nobody-here"])
    done = office.connect(name, "--no-open", "--sign-in-minutes", "0.01", *more)
    assert done.code == 2
    assert "only its administrators (nobody-here) may change it" in done.err
    assert "Sign in to Constant Contact" not in done.err


def test_user_without_a_name_connects_and_is_its_administrator(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_nobody(user_id: int) -> None:
        raise KeyError(user_id)

    monkeypatch.setattr(pwd, "getpwuid", find_nobody)
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    box = office.world.box
    name = f"nameless-{uuid.uuid4().hex[:8]}"
    office.saved.append(name)
    done = office.connect(
        name, "--api-url", box.api_url, "--auth-url", box.auth_url, "--accept-data-privacy",
        app=box.add_client(),
    )  # fmt: skip
    assert done.code == 0, done.err
    saved = office.ask(load_connection(name))
    assert saved.privacy_accepted_by == str(os.geteuid())
    assert saved.administrators == ["root", str(os.geteuid())]
