"""Connections as an administrator keeps them: who may use them, where their secrets are."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.connection_form import ConnectionForm
from cli.connection_renewal import find_renewable
from sandbox._tokens import CAMPAIGN_CREATOR
from tasks.connection_block import ConstantContactConnection, load_connection
from tasks.permission import os_user
from tasks.sign_in_record import SignInRecord, write_sign_in
from tasks.vaults import KEY_VARIABLE
from tests.conftest import PrefectServer
from tests.e2e.office import Office
from tests.waiting import ask_prefect

Prepare = Callable[[Office], str]


def of_somebody_else(office: Office) -> str:
    return office.save(administrators=["nobody-here"], may_use=["administrators", "group:none"])


def without_privilege(office: Office) -> str:
    return office.save(privileges=CAMPAIGN_CREATOR)


def without_scope(office: Office) -> str:
    return office.save(scopes=frozenset({"account_read", "offline_access"}))


def deactivated(office: Office) -> str:
    name = office.save()
    office.world.box.deactivate_client(name)
    return name


def removed(office: Office) -> str:
    name = office.save()
    assert office.here("connections", "remove", name, "--yes").code == 0
    return name


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (of_somebody_else, "administrators, group:none may use it. Ask an administrator (nobody-"),
        (without_privilege, "lacks the privilege, sign in as an Account Owner or Account Manager"),
        (without_scope, "the sign-in lacks the scopes contact_data and account_read"),
        (deactivated, "refuses the API key or its secret"),
        (removed, "There is no connection “"),
        (lambda _: "", "The export has no connection any more"),
    ],
    ids=["not allowed", "privilege", "scope", "deactivated", "removed", "detached"],
)
def test_export_that_may_not_use_its_connection_is_refused_and_uploads_nothing(
    office: Office, prepare: Prepare, message: str
) -> None:
    name = prepare(office)
    before = office.uploads()
    done = office.export(name)
    assert done.code == 2, done.err
    assert done.document["refused"] is True
    assert message in done.document["message"]
    assert "Traceback" not in done.err
    assert office.uploads() == before


def test_connections_are_listed_with_their_last_use_and_warn_before_they_lapse(
    office: Office,
) -> None:
    name = office.save(display_name="Acme shop", account_name="Acme Inc")
    long_ago = datetime.now(UTC) - timedelta(days=155)
    office.ask(write_sign_in(name, SignInRecord(renewed_at=long_ago.isoformat())))
    listed = office.here("connections")
    assert f"{name} (Acme shop) → Acme Inc\n" in listed.out
    lapses = long_ago + timedelta(days=180)
    assert f"LAPSES {lapses:%Y-%m-%d} unless used" in listed.out
    done = office.export(name)
    assert done.code == 0, done.err
    assert f"would have lapsed on {lapses:%Y-%m-%d}" in " ".join(done.document["notes"])
    (shown,) = [
        one
        for one in office.here("connections", "--json").document["connections"]
        if one["name"] == name
    ]
    assert shown["sign_in"]["state"] == "signed_in"
    assert shown["last_used_by"] == os_user().name
    assert datetime.fromisoformat(shown["last_used_at"]).date() >= long_ago.date()
    assert (shown["vault"], shown["display_name"]) == ("block", "Acme shop")


def test_connection_is_tested_for_what_exports_need(office: Office) -> None:
    works = office.here("connections", "test", office.save(), "--json")
    assert works.code == 0, works.err
    assert works.document["works"] is True
    refused = office.here("connections", "test", office.save(privileges=CAMPAIGN_CREATOR))
    assert refused.code == 2
    assert "contacts:write (to import contacts" in refused.err
    assert office.here("connections", "test", office.save(scopes=frozenset(
        {"account_read", "offline_access"}
    ))).code == 2  # fmt: skip


def test_lists_are_shown_with_their_ids_and_members(office: Office) -> None:
    office.world.box.add_contact("li@example.com", list_ids=[office.world.list_id])
    name = office.save()
    shown = office.here("lists", "--connection", name, "--json").document["lists"]
    (one,) = [entry for entry in shown if entry["list_id"] == office.world.list_id]
    assert one["members"] == 1
    assert one["updated_at"]
    assert [entry["name"] for entry in shown] == sorted(entry["name"] for entry in shown)
    assert office.world.list_id in office.here("lists", "--connection", name).out


def test_connection_is_renamed_with_its_sign_in_unless_exports_use_it(office: Office) -> None:
    name = office.save()
    assert office.here("connections", "test", name).code == 0
    new = f"{name}-new"
    done = office.here("connections", "rename", name, new)
    assert done.code == 0, done.err
    assert office.here("connections", "test", new).code == 0
    assert office.here("connections", "test", name).code == 2
    states = {
        one["name"]: one["sign_in"]["state"]
        for one in office.here("connections", "--json").document["connections"]
    }
    assert states[new] == "signed_in"
    assert name not in states
    other = office.save()
    taken = office.here("connections", "rename", other, new)
    assert (taken.code, "already" in taken.err) == (2, True)
    office.deploy(f"nightly-{name}", new)
    used = office.here("connections", "rename", new, name)
    assert used.code == 2
    assert f"Saved exports use “{new}”: nightly-{name}." in used.err
    assert office.here("connections", "remove", new, "--detach", "--yes").code == 0


def test_signing_in_again_keeps_tokens_where_they_are_or_moves_them(
    office: Office, vaulted: tuple[str, Path]
) -> None:
    name, folder = vaulted

    def renew(connection: str, **form: Any) -> ConstantContactConnection:
        filled = ConnectionForm(
            name=connection, client_id="", client_secret_file=None, refresh_token_file=None,
            api_url="", auth_url="", display_name="", accepts_data_privacy=False, **form,
        )  # fmt: skip
        found = office.ask(find_renewable(filled))
        assert isinstance(found, ConstantContactConnection)
        return found

    kept = renew(name)
    assert (kept.vault, Path(kept.vault_file).parent) == ("file", folder)
    assert not Path(kept.vault_file).exists(), "the file at hand is replaced only when signed in"
    assert kept.client_secret is not None
    moved = renew(name, vault="block")
    assert (moved.vault, moved.vault_file) == ("block", "")
    in_block = office.save()
    assert renew(in_block).vault == "block"
    moved = renew(in_block, vault="file", vault_dir=folder)
    assert (moved.vault, Path(moved.vault_file).parent) == ("file", folder)


def test_connection_is_changed_by_its_administrators_only(office: Office) -> None:
    name = office.save(administrators=["nobody-here"], may_use=[os_user().name])
    assert office.here("connections", "test", name).code == 0
    for arguments in (("rename", name, "mine"), ("remove", name, "--yes")):
        refused = office.here("connections", *arguments)
        assert refused.code == 2
        assert "only its administrators (nobody-here) may change it" in refused.err
    assert office.ask(load_connection(name)).administrators == ["nobody-here"]


def test_connection_in_use_is_removed_only_with_detach(office: Office, tmp_path: Path) -> None:
    name = office.save()
    export, in_file = f"nightly-{name}", f"weekly-{name}"
    office.deploy(export, name.upper())
    request = {
        "connection": name, "list_id": office.world.list_id, "profiles": str(office.profiles),
        "segments": ["Gold"], "segments_column": "Segments", "email": "EMail",
    }  # fmt: skip
    entry = {
        "name": in_file,
        "entrypoint": "flows/export_segment.py:export_segment",
        "parameters": {"request": request},
    }
    file = tmp_path / "prefect.yaml"
    file.write_text(yaml.safe_dump({"name": "exports", "deployments": [entry]}))
    refused = office.here("connections", "remove", name, "--yes")
    assert refused.code == 2
    assert f"{export}, {in_file}" in refused.err
    assert "--detach" in refused.err
    unasked = office.here("connections", "remove", name, "--detach")
    assert (unasked.code, "--yes" in unasked.err) == (2, True)
    assert office.connection_of(export) == name.upper()
    done = office.here("connections", "remove", name, "--detach", "--yes", "--json")
    assert done.code == 0, done.err
    assert done.document["detached"] == [export, in_file]
    assert "exports attach" in done.document["message"]
    assert office.connection_of(export) == ""
    assert yaml.safe_load(file.read_text())["deployments"][0]["parameters"]["request"] == {
        **request,
        "connection": "",
    }
    assert office.here("connections", "test", name).code == 2


def test_no_secret_is_in_clear_anywhere_but_with_who_has_the_key(
    office: Office, vaulted: tuple[str, Path], prefect_server: PrefectServer
) -> None:
    name, folder = vaulted
    (file,) = folder.iterdir()
    sealed = file.read_bytes()
    outputs = [
        office.export(name),
        office.here("connections"),
        office.here("connections", "--json"),
    ]
    assert [one.code for one in outputs] == [0, 0, 0], outputs
    block = office.ask(load_connection(name))
    assert "quokka" not in repr(block)
    # Crashes, with everything shown that there is to show.
    failures = [
        office.world.commands.run(
            "connections", "test", name, "--debug", **{KEY_VARIABLE: "k" * 44}
        ),
    ]
    file.write_bytes(b"damaged")
    failures.append(office.world.commands.run("connections", "test", name, "--debug"))
    file.write_bytes(sealed)
    office.world.box.deactivate_client(name)
    assert [one.code for one in failures] == [1, 1]
    assert all("Traceback" in one.err for one in failures)

    desk = office.world.box._world.desk
    mine = [
        token for token, one in desk._access_tokens.items() if one.consent.client.client_id == name
    ]
    mine += [token for token, one in desk._consents.items() if one.client.client_id == name]
    mine.append(desk.clients[name].client_secret)
    assert len(mine) >= 4, "two refresh tokens, an access token and the client secret"
    documents = ask_prefect(
        "POST",
        f"{prefect_server.api_url}/block_documents/filter",
        json={"include_secrets": True, "limit": 200},
    ).text
    assert name in documents
    written = {
        str(path): path.read_bytes()
        for place in (prefect_server.home, folder)
        for path in place.rglob("*")
        if path.is_file()
    }
    written["the API"] = documents.encode()
    written |= {
        f"output {n}": (one.out + one.err).encode() for n, one in enumerate(outputs + failures)
    }
    assert any(name.encode() in content for content in written.values()), "the search finds things"
    for place, content in written.items():
        for secret in mine:
            assert secret.encode() not in content, place

    assert office.here("connections", "remove", name, "--yes").code == 0
    assert not list(folder.iterdir())
