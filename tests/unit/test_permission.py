"""Who may use a connection, by names, groups and what the server knows."""

import asyncio
import json
import os
import pwd
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.context import FlowRunContext
from prefect.settings import (
    PREFECT_API_KEY,
    PREFECT_API_URL,
    PREFECT_CLOUD_API_URL,
    temporary_settings,
)

from tasks.connection_block import ConstantContactConnection
from tasks.errors import NotAllowed
from tasks.permission import (
    ADMINISTRATORS_VARIABLE,
    Asker,
    administrators_of,
    choose_administrators,
    find_asker,
    name_creator,
    os_user,
    require_administrator,
    require_permission,
)

MARIA = Asker("maria", frozenset({"marketing", "staff"}))


def connection(**values: Any) -> ConstantContactConnection:
    return ConstantContactConnection(display_name="Acme", client_id="key", **values)


@pytest.mark.parametrize(
    ("values", "is_allowed"),
    [
        ({"administrators": ["root", "maria"]}, True),
        ({"administrators": ["root", "otto"]}, False),
        ({"administrators": ["group:marketing"]}, True),
        ({"administrators": ["marketing"]}, False),
        ({"administrators": ["otto"], "may_use": ["administrators", "maria"]}, True),
        ({"administrators": ["maria"], "may_use": ["otto"]}, False),
        ({"administrators": ["otto"], "may_use": ["group:marketing"]}, True),
        ({"administrators": ["otto"], "may_use": ["group:sales"]}, False),
        ({"administrators": ["maria"], "may_use": []}, False),
        ({"privacy_accepted_by": "maria"}, True),  # made before they were written down
        ({"privacy_accepted_by": "otto"}, False),
        ({}, False),
    ],
)
def test_connection_is_for_those_it_names(values: dict[str, Any], is_allowed: bool) -> None:
    asked = connection(**values)
    if is_allowed:
        require_permission("acme", asked, MARIA)
        return
    with pytest.raises(NotAllowed, match="“acme” is not for “maria”"):
        require_permission("acme", asked, MARIA)


def test_refusal_says_who_may_and_whom_to_ask() -> None:
    asked = connection(administrators=["root", "otto"], may_use=["administrators", "group:sales"])
    with pytest.raises(NotAllowed) as refused:
        require_permission("acme", asked, MARIA)
    assert str(refused.value) == (
        "The connection “acme” is not for “maria”: administrators, group:sales may use it. Ask an "
        "administrator (root, otto) to deliver it, or to connect again with --may-use."
    )


def test_nobody_known_may_use_nothing_even_if_an_empty_name_is_listed() -> None:
    with pytest.raises(NotAllowed, match="Prefect does not tell"):
        require_permission("acme", connection(may_use=["", "maria"]), Asker(""))


def test_connection_is_changed_by_its_administrators_only() -> None:
    asked = connection(administrators=["root", "group:ops"], may_use=["maria"])
    require_administrator("acme", asked, Asker("otto", frozenset({"ops"})))
    with pytest.raises(NotAllowed, match=r"administrators \(root, group:ops\) may change it, not"):
        require_administrator("acme", asked, MARIA)


def test_administrators_are_those_listed_else_the_creator_and_root() -> None:
    assert choose_administrators("maria", {}) == ["root", "maria"]
    assert choose_administrators("root", {}) == ["root"]
    listed = {ADMINISTRATORS_VARIABLE: "otto, group:ops,"}
    assert choose_administrators("maria", listed) == ["otto", "group:ops"]
    assert administrators_of(connection()) == ["root"]


def test_os_user_is_whose_process_it_is_not_what_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("USER", "LOGNAME", "USERNAME", "LNAME"):
        monkeypatch.setenv(variable, "otto")
    assert os_user().name == pwd.getpwuid(os.geteuid()).pw_name


def test_user_without_an_entry_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_001)
    assert os_user() == Asker("4000000001")


USER = {"type": "USER", "display_value": "maria"}
SCHEDULE = {"type": "SCHEDULE", "display_value": None}


@pytest.mark.parametrize(
    ("created_by", "deployment", "name"),
    [
        (USER, {}, "maria"),
        (SimpleNamespace(**USER), {"created_by": {"type": "USER", "display_value": "x"}}, "maria"),
        (SCHEDULE, {"created_by": USER}, "maria"),
        (SCHEDULE, {"created_by": {**USER, "display_value": "x"}, "updated_by": USER}, "maria"),
        (None, {"updated_by": None, "created_by": USER}, "maria"),
        ({"type": "SERVICE_ACCOUNT", "display_value": "ci"}, {}, "ci"),
        (SCHEDULE, {}, ""),
        (None, {}, ""),
    ],
)
def test_run_on_cloud_is_its_makers_or_that_of_who_saved_what_made_it(
    created_by: Any, deployment: dict[str, Any], name: str
) -> None:
    assert name_creator(created_by, deployment) == Asker(name)


class _Cloud(BaseHTTPRequestHandler):
    """As much of Prefect Cloud as tells who asks."""

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != "Bearer pnu_maria":
            self._answer(401, {})
        elif self.path == "/api/me/":
            self._answer(200, {"handle": "maria"})
        else:
            self._answer(200, {"created_by": USER, "updated_by": None})

    def _answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def cloud() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Cloud) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("key", "run", "name"),
    [
        ("pnu_maria", None, "maria"),
        ("pnu_other", None, ""),
        ("pnu_maria", {"created_by": SCHEDULE, "deployment_id": "d1"}, "maria"),
        ("pnu_maria", {"created_by": SCHEDULE, "deployment_id": None}, ""),
    ],
    ids=["owner of the key", "key refused", "schedule", "nobody"],
)
def test_cloud_is_asked_who_it_is(
    cloud: str, key: str, run: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = run and SimpleNamespace(flow_run=SimpleNamespace(**run), flow=None)
    monkeypatch.setattr(FlowRunContext, "get", lambda: context)
    workspace = f"{cloud}/accounts/{uuid.uuid4()}/workspaces/{uuid.uuid4()}"
    settings = {PREFECT_API_URL: workspace, PREFECT_CLOUD_API_URL: cloud, PREFECT_API_KEY: key}
    with temporary_settings(settings):
        assert asyncio.run(find_asker()) == Asker(name)
