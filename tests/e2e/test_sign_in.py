"""Signing in as a person does it: a browser, a consent page, and what the command then says."""

import contextvars
import queue
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

import sandbox
from cli.connect import ConnectionForm, connect_account
from cli.errors import CommandError
from cli.sign_in import REDIRECT_PORT, SignInWay
from constant_contact import SCOPES
from sandbox import CAMPAIGN_CREATOR, Fault, SandboxSettings
from tasks.connection import ConnectionTokenStore, connection_slug, load_connection
from tasks.permission import os_user
from tests.conftest import Commands, PrefectServer, using_prefect
from tests.e2e.signing_in import (
    Begin,
    Connecting,
    allow,
    ask_prefect,
    at_a_terminal,
    is_saved,
    say_what_is_shown,
    settings_of,
)
from tests.waiting import PATIENCE_S, wait_for

CHROMIUM = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM) as browser,
    ):
        yield browser


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    with chromium.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        yield page


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        found: int = free.getsockname()[1]
        return found


@pytest.fixture
def box(port: int) -> Iterator[sandbox.Box]:
    with sandbox.running(settings_of(port)) as box:
        yield box


@pytest.fixture
def commands(prefect_server: PrefectServer, tmp_path: Path) -> Commands:
    return Commands(prefect_server.env(), tmp_path)


@pytest.fixture
def begin(
    prefect_server: PrefectServer,
    box: sandbox.Box,
    port: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Begin]:
    """Begin to connect, in a thread of this process: without seconds of imports each time."""
    monkeypatch.setenv("SEGMENT_EXPORT_VAULT_KEY_FILE", str(tmp_path / "vault.key"))
    opened: queue.Queue[str] = queue.Queue()
    monkeypatch.setattr("cli.sign_in.open_browser", lambda url: opened.put(url) is None)
    begun: list[Connecting] = []

    def begin(
        at: sandbox.Box = box,
        *,
        client_id: str = "",
        may_use: tuple[str, ...] = (),
        vault: str = "block",
        refresh_token_file: Path | None = None,
        waits: bool = True,
        is_renewal: bool = False,
        **way: Any,
    ) -> Connecting:
        secret = tmp_path / "client-secret"
        secret.write_text(at.client_secret)
        form = ConnectionForm(
            name=tmp_path.name,
            client_id="" if is_renewal else client_id or at.client_id,
            client_secret_file=None if client_id else secret,
            refresh_token_file=refresh_token_file,
            api_url=at.api_url,
            auth_url=at.auth_url,
            display_name="",
            accepts_data_privacy=not is_renewal,
            may_use=may_use,
            vault=vault,
            vault_dir=tmp_path / "vault",
            way=SignInWay(**({"redirect_port": port} | way)),
        )
        ended: list[tuple[int, str]] = []

        def connect() -> None:
            try:
                connect_account(form, as_json=False)
                ended.append((0, ""))
            except CommandError as error:
                ended.append((error.exit_code, str(error)))

        context = contextvars.copy_context()
        thread = threading.Thread(target=lambda: context.run(connect))
        one = Connecting(connection_slug(form.name), thread, ended)
        thread.start()
        begun.append(one)
        if waits:
            one.url = opened.get(timeout=PATIENCE_S)
        return one

    with using_prefect(prefect_server.api_url):
        yield begin
        for one in begun:
            one.finish()


def test_sign_in_by_browser_makes_a_connection_that_delivers(
    commands: Commands, box: sandbox.Box, port: int, page: Page
) -> None:
    folder, name = commands.folder, commands.folder.name
    (folder / "client-secret").write_text(box.client_secret)
    (folder / "browser").write_text('#!/bin/sh\necho "$1" > opened.part; mv opened.part opened\n')
    (folder / "browser").chmod(0o700)
    opened = folder / "opened"
    with subprocess.Popen(
        [
            sys.executable, "-m", "cli.main", "connect", name, "--client-id", box.client_id,
            "--client-secret-file", "client-secret", "--api-url", box.api_url,
            "--auth-url", box.auth_url, "--redirect-port", str(port), "--accept-data-privacy",
        ],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=commands.env | {"BROWSER": f"{folder}/browser %s &"}, cwd=folder,
    ) as process:  # fmt: skip
        page.goto(wait_for(lambda: opened.exists() and opened.read_text().strip(), "address"))
        assert page.title() == "Allow access?"
        for scope in SCOPES:
            assert scope in page.inner_text("ul")
        page.get_by_role("button", name="Allow").click()
        assert page.inner_text("h1") == "Signed in"
        assert "close this window" in page.inner_text("body")
        out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert "to Sandbox Outfitters, 1 Sand Street, Boston" in out
    code = re.findall(r"code=([^&]+)", page.url)[0]
    for secret in (code, box.client_secret):
        assert secret not in out + err

    profiles = folder / "profiles.parquet"
    pl.DataFrame({"CustomerId": ["a"], "EMail": ["a@x.com"], "Segments": [["Gold"]]}).write_parquet(
        profiles
    )
    list_id = box.add_list("Gold")
    done = commands.run(
        "run", "--connection", name, "--list-id", list_id, "--profiles", profiles,
        "--segment", "Gold", "--email", "EMail",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert set(box.state.members(list_id)) == {"a@x.com"}


def test_connect_walks_through_what_is_missing_at_a_terminal(
    commands: Commands, box: sandbox.Box, page: Page
) -> None:
    name = commands.folder.name
    with at_a_terminal(
        commands, "connect", name, "--api-url", box.api_url, "--auth-url", box.auth_url, "--device",
    ) as terminal:  # fmt: skip
        terminal.answer("Display name", "Loyal customers")
        terminal.answer("Who may use it", "administrators, anna")
        terminal.answer("Type yes", "yes")
        terminal.answer("API key", box.client_id)
        terminal.answer("Client secret", box.client_secret)
        page.goto(terminal.read_until(r"(http\S+)\?user_code="))
        page.get_by_label("Code on the device").fill(terminal.read_until(r"The code is (\S+)"))
        page.get_by_role("button", name="Next").click()
        page.get_by_role("button", name="Allow").click()
        assert page.inner_text("h1") == "Device activated"
        assert terminal.finish() == 0, terminal.shown
    assert box.client_secret not in terminal.shown
    with using_prefect(commands.env["PREFECT_API_URL"]):
        saved = ask_prefect(load_connection(name))
    assert (saved.display_name, saved.account_name) == ("Loyal customers", "Sandbox Outfitters")
    assert saved.may_use == ["administrators", "anna"]
    assert saved.privacy_accepted_by == os_user().name
    assert saved.privacy_accepted_at is not None


def test_connect_saves_nothing_for_who_does_not_agree(commands: Commands) -> None:
    with at_a_terminal(commands, "connect", commands.folder.name, "--device") as terminal:
        terminal.answer("Display name", "")
        terminal.answer("Who may use it", "")
        terminal.answer("Type yes", "no")
        assert terminal.finish() == 2
    assert "Without your agreement there is no connection" in terminal.shown


def test_public_application_signs_in_without_a_secret(
    begin: Begin, box: sandbox.Box, page: Page, port: int
) -> None:
    one = begin(client_id=box.add_client(is_public=True).client_id)
    page.goto(f"http://127.0.0.1:{port}/signed-in")
    assert page.inner_text("h1") == "Nothing here"
    page.goto(one.url)
    page.get_by_role("button", name="Allow").click()
    assert page.inner_text("h1") == "Signed in"
    assert one.finish() == (0, "")
    assert is_saved(one.name)


def test_signing_in_anew_keeps_all_else(
    begin: Begin, box: sandbox.Box, page: Page, capfd: pytest.CaptureFixture[str]
) -> None:
    allow(page, first := begin(may_use=("anna",), vault="file"))
    assert first.finish() == (0, "")
    before = ask_prefect(load_connection(first.name))
    box.revoke(box.client_id)

    allow(page, again := begin(is_renewal=True))
    assert again.finish() == (0, "")
    after = ask_prefect(load_connection(first.name))
    assert (after.may_use, after.client_id, after.auth_url) == (
        ["anna"],
        box.client_id,
        box.auth_url,
    )
    assert after.privacy_accepted_at == before.privacy_accepted_at
    assert after.vault_file != before.vault_file
    kept = ask_prefect(ConnectionTokenStore(first.name).load_secrets())
    assert kept.client_secret is not None
    assert kept.client_secret.get_secret_value() == box.client_secret
    assert not Path(before.vault_file).exists()
    assert "Sandbox Outfitters" in capfd.readouterr().out


def test_signing_in_anew_to_another_account_is_refused(
    begin: Begin, box: sandbox.Box, page: Page
) -> None:
    allow(page, first := begin())
    assert first.finish() == (0, "")
    kept = ask_prefect(ConnectionTokenStore(first.name).load())
    elsewhere = '{"encoded_account_id": "other", "organization_name": "Elsewhere"}'
    box.script(Fault(operation="account", kind="status", status=200, body=elsewhere))

    allow(page, again := begin(is_renewal=True))
    code, said = again.finish()
    assert code == 2
    assert "another account (Elsewhere, other)" in said
    assert said.endswith("Nothing was saved.")
    assert ask_prefect(ConnectionTokenStore(first.name).load()) == kept


def test_denied_access_is_said_in_the_browser_and_in_the_terminal(begin: Begin, page: Page) -> None:
    one = begin()
    page.goto(one.url)
    page.get_by_role("button", name="Deny").click()
    assert page.inner_text("h1") == "Not signed in"
    assert "denied" in page.inner_text("body")
    code, said = one.finish()
    assert code == 2
    assert said.startswith("Access was denied on Constant Contact's page")
    assert said.endswith("Nothing was saved.")
    assert not is_saved(one.name)


def test_wrong_state_is_turned_away_and_told_and_the_sign_in_goes_on(
    begin: Begin, page: Page, port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    one = begin()
    for query in ("code=stolen&state=another", "error=access_denied"):
        page.goto(f"http://127.0.0.1:{port}/signed-in?{query}")
        assert page.inner_text("h1") == "Not this sign-in"
        assert "not begun here (its state differs)" in page.inner_text("body")
    say_what_is_shown(capfd, r"(not begun here \(its state differs\). It was turned away)")
    allow(page, one)
    assert one.finish() == (0, "")


def test_expired_code_is_said_in_the_browser_and_in_the_terminal(
    begin: Begin, port: int, page: Page
) -> None:
    with sandbox.running(settings_of(port, authorization_code_life_s=0)) as hasty:
        one = begin(hasty)
        page.goto(one.url)
        page.get_by_role("button", name="Allow").click()
        assert "has expired" in page.inner_text("body")
        code, said = one.finish()
    assert code == 2
    assert said.startswith("The code that the browser came back with has expired")
    assert not is_saved(one.name)


def test_closed_window_ends_when_the_time_is_over(begin: Begin, page: Page) -> None:
    one = begin(minutes=0.03)
    page.goto(one.url)
    page.close()
    code, said = one.finish()
    assert code == 2
    assert said.startswith("Nobody came back from Constant Contact's page within 0.03 minutes")
    assert not is_saved(one.name)


def test_taken_port_is_named_before_anybody_signs_in(begin: Begin, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        one = begin(waits=False)
        code, said = one.finish()
    assert code == 2
    assert said.startswith(f"Port {port} of this machine")
    assert "--device" in said


@pytest.mark.parametrize(
    ("scopes", "words"),
    [
        ({"account_read", "offline_access"}, "contact_data (to read lists and send contacts)"),
        ({"account_read", "contact_data"}, "offline_access (to sign in again by itself"),
    ],
    ids=["contact_data", "offline_access"],
)
def test_missing_scope_is_said_in_words(
    begin: Begin, box: sandbox.Box, page: Page, scopes: set[str], words: str
) -> None:
    one = begin(client_id=box.add_client(is_public=True, scopes=scopes).client_id)
    page.goto(one.url)
    page.get_by_role("button", name="Allow").click()
    code, said = one.finish()
    assert code == 2
    assert words in said
    assert not is_saved(one.name)


def test_missing_privilege_is_said_in_words(begin: Begin, page: Page) -> None:
    one = begin()
    page.goto(one.url)
    page.get_by_label("You are").select_option("creator")
    page.get_by_role("button", name="Allow").click()
    code, said = one.finish()
    assert code == 2
    assert "contacts:write (to import contacts, and see how an import ends)" in said
    assert "Account Owner or Account Manager" in said
    assert not is_saved(one.name)


@pytest.mark.parametrize(
    ("granted", "words"),
    [
        ({"scopes": {"contact_data", "offline_access"}}, "account_read (to tell which"),
        ({"scopes": {"account_read", "offline_access"}}, "contact_data (to read lists"),
        ({"privileges": CAMPAIGN_CREATOR}, "contacts:write (to import contacts"),
    ],
    ids=["account_read", "contact_data", "contacts:write"],
)
def test_refresh_token_that_may_too_little_is_said_in_words(
    begin: Begin, box: sandbox.Box, tmp_path: Path, granted: dict[str, set[str]], words: str
) -> None:
    app = box.add_client(is_public=True, **granted)
    (tmp_path / "token").write_text(app.refresh_token)
    one = begin(client_id=app.client_id, refresh_token_file=tmp_path / "token", waits=False)
    code, said = one.finish()
    assert code == 2
    assert words in said
    assert said.endswith("The connection is saved; connect again when that is put right.")


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_deactivated_application_is_said(
    begin: Begin, box: sandbox.Box, page: Page, when: str
) -> None:
    one = begin()
    if when == "before":
        box.deactivate_client(box.client_id)
    page.goto(one.url)
    if when == "during":
        box.deactivate_client(box.client_id)
    if when == "after":
        refused = '{"error_key": "access_denied", "error_message": "Deactivated."}'
        box.script(Fault(operation="privileges", kind="status", status=403, body=refused))
    if when != "before":
        page.get_by_role("button", name="Allow").click()
    code, said = one.finish()
    words = {
        "before": "does not let this application sign anybody in",
        "during": "refuses the API key or its secret",
        "after": "denies this application all access: it is deactivated",
    }
    assert code == 2
    assert words[when] in said
    assert not is_saved(one.name)


@pytest.mark.parametrize("decision", ["Allow", "Deny"])
def test_device_is_told_what_the_person_decided(
    begin: Begin,
    page: Page,
    decision: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    one = begin(is_by_device=True, waits=False)
    page.goto(say_what_is_shown(capfd, r" or (http\S+user_code=\S+)"))
    page.get_by_role("button", name=decision).click()
    code, said = one.finish()
    assert is_saved(one.name) is (decision == "Allow")
    assert code == (0 if decision == "Allow" else 2), said
    assert ("denied" in said) is (decision == "Deny")


def test_device_that_nobody_allows_ends_when_the_time_is_over(begin: Begin) -> None:
    code, said = begin(is_by_device=True, minutes=0.04, waits=False).finish()
    assert code == 2
    assert said.startswith("Nobody finished signing in")


def test_the_sandbox_registers_the_address_that_connect_uses() -> None:
    assert SandboxSettings().redirect_uris == (SignInWay().url,)
    assert SignInWay().port == REDIRECT_PORT
