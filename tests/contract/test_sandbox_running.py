"""The sandbox as a server: in a thread, in a process of its own, and behind its back door."""

import csv
import io
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import httpx
import pytest

import sandbox
from sandbox import RequestRecord, most_in_any_second, running
from tests.contract.sandbox_api import Api, open_api

SERVE = """
import sandbox
sandbox.serve(ready=lambda box: print(box.api_url, box.refresh_token, flush=True))
"""


@pytest.fixture
def api() -> Iterator[Api]:
    with open_api() as api:
        yield api


def test_everything_public_is_there() -> None:
    assert all(hasattr(sandbox, name) for name in sandbox.__all__)


def test_every_setting_is_explained() -> None:
    explained = sandbox.SandboxSettings.__doc__ or ""

    for setting in fields(sandbox.SandboxSettings):
        assert re.search(rf"^ +[a-z_, ]*\b{setting.name}\b[a-z_, ]*:", explained, re.MULTILINE), (
            setting.name
        )


def test_two_sandboxes_run_side_by_side_and_leave_nothing_behind() -> None:
    before = threading.active_count()
    with running() as one, running() as other:
        assert one.api_url != other.api_url
        one.add_list("A")
        assert other.refresh_token != one.refresh_token
    assert threading.active_count() == before
    with pytest.raises(httpx.ConnectError):
        httpx.get(one.admin_url)


def test_request_being_delayed_does_not_hold_up_the_end() -> None:
    with open_api() as api:
        api.box.script(sandbox.Fault("lists", "delay", seconds=600.0))
        with pytest.raises(httpx.ReadTimeout):
            api.get("/contact_lists", timeout=0.2)


def test_due_activities_are_settled_without_being_asked_for() -> None:
    settings = sandbox.SandboxSettings(initialized_s=0.0, processing_s=0.0)
    with running(settings) as box, httpx.Client(base_url=box.api_url) as http:
        list_id = box.add_list("A")
        http.post(
            "/activities/contacts_file_import",
            data={"list_ids": list_id},
            files={"file": ("c.csv", "email\na@x.com\n")},
            headers={"Authorization": f"Bearer {box.access_token()}"},
        )
        assert set(box.state.members(list_id)) == {"a@x.com"}


def test_port_in_use_is_an_error() -> None:
    with running() as box:
        port = int(box.api_url.split(":")[2].split("/")[0])
        with pytest.raises(OSError, match="in use"):
            sandbox.serve(port=port)


def test_process_of_its_own_serves_until_it_is_told_to_stop() -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SERVE], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        api_url, refresh_token = process.stdout.readline().split()
        told = httpx.get(api_url.removesuffix("/v3") + "/sandbox").json()
        process.send_signal(signal.SIGINT)
        process.wait(10)

    assert told["api_url"] == api_url
    assert told["refresh_token"] == refresh_token
    assert process.returncode == 0


def test_requests_are_logged_without_secrets(api: Api) -> None:
    api.refresh(api.box.refresh_token)
    api.import_csv("email\na@x.com\n", file_name="1.csv")
    api.get("/contacts", params={"email": "a@x.com"})
    token, upload, lookup = api.box.state.requests()

    assert (token.operation, token.status, token.client_id) == ("token", 200, api.box.client_id)
    assert (upload.operation, upload.file_name, upload.status) == ("file_import", "1.csv", 201)
    assert upload.body_bytes > 100
    assert lookup.path == "/v3/contacts"
    assert "a@x.com" not in repr(api.box.state.requests())
    assert api.box.refresh_token not in repr(api.box.state.requests())


@pytest.mark.parametrize(
    ("arrivals_s", "most"),
    [((), 0), ((0.0,), 1), ((0.0, 0.5, 1.0), 2), ((0.0, 0.5, 0.99), 3), ((3.0, 0.0, 0.9, 1.8), 2)],
)
def test_most_requests_in_any_second(arrivals_s: tuple[float, ...], most: int) -> None:
    requests = [RequestRecord("GET", "/v3/x", "x", arrived_s) for arrived_s in arrivals_s]
    requests.append(RequestRecord("POST", "/oauth2/default/v1/token", "token", 0.1))

    assert most_in_any_second(requests) == most


def test_back_door_does_what_the_handle_does(api: Api) -> None:
    url = api.box.admin_url
    list_id = api.http.post(f"{url}/lists", json={"name": "Side"}).json()["list_id"]
    name = api.http.post(f"{url}/custom_fields", json={"label": "Loyalty Tier"}).json()["name"]
    contact = {
        "email": "a@x.com",
        "list_ids": [list_id],
        "properties": {"first_name": "Ann, A.", f"cf:{name}": "gold"},
    }
    made = api.http.post(f"{url}/contacts", json=contact).json()
    rows = list(csv.DictReader(io.StringIO(api.get(f"{url}/lists/{list_id}/contacts").text)))

    assert made["list_ids"] == [list_id]
    assert rows == [
        {
            "email": "a@x.com",
            "first_name": "Ann, A.",
            "last_name": "",
            "cf:Loyalty_Tier": "gold",
        }
    ]
    api.http.post(f"{url}/list_removals", json={"email": "a@x.com", "list_id": list_id})
    assert api.get(f"{url}/contacts", params={"email": "a@x.com"}).json()["list_ids"] == []
    api.http.post(f"{url}/unsubscribe", json={"email": "a@x.com"})
    found = api.get(f"{url}/contacts", params={"email": "a@x.com"}).json()
    assert found["permission_to_send"] == "unsubscribed"


def test_back_door_scripts_faults_and_tells_requests(api: Api) -> None:
    url = api.box.admin_url
    fault = {"operation": "file_import", "kind": "outcome", "state": "failed"}
    api.http.post(f"{url}/faults", json=[fault]).raise_for_status()
    api.import_csv("email\na@x.com\n")
    told = api.get(f"{url}/requests").json()

    assert api.get(f"{url}/activities").json()["activities"][0]["state"] == "failed"
    assert [one["operation"] for one in told["requests"]] == ["file_import"]
    assert told["most_in_any_second"] == 1
    api.http.post(f"{url}/faults", json=[fault])
    api.http.delete(f"{url}/faults")
    assert api.activity(api.import_csv("email\na@x.com\n"))["state"] == "completed"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"operation": "file_imp", "kind": "status"}, "operation is one of account, "),
        ({"operation": "list", "kind": "statuss"}, "kind is one of status, drop"),
        ({"operation": "list", "kind": "drop", "when": "then"}, "when is one of before, after"),
        ({"operation": "list", "kind": "drop", "statu": 1}, "has operation, kind, and further of"),
        ({"operation": "list"}, "has operation, kind"),
        ("list", "has operation, kind"),
    ],
)
def test_back_door_refuses_a_fault_that_could_never_come_up(
    api: Api, fault: Any, said: str
) -> None:
    refused = api.http.post(f"{api.box.admin_url}/faults", json=[fault])
    assert refused.status_code == 400
    assert said in refused.json()["error"]


def test_back_door_adds_clients(api: Api) -> None:
    told = api.http.post(f"{api.box.admin_url}/clients", json={"is_rotating": False}).json()
    answer = api.refresh(told["refresh_token"], client_id=told["client_id"])

    assert answer.status_code == 400
    basic = (told["client_id"], told["client_secret"])
    fields = {"grant_type": "refresh_token", "refresh_token": told["refresh_token"]}
    answer = api.http.post(f"{api.box.auth_url}/token", data=fields, auth=basic)
    assert answer.json()["refresh_token"] == told["refresh_token"]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("lists", {}),
        ("contacts", {"email": "a@x.com", "list_ids": ["nowhere"]}),
        ("contacts", {"address": "a@x.com"}),
        ("faults", [{"operation": "lists"}]),
        ("unsubscribe", {"email": "nobody@x.com"}),
    ],
)
def test_back_door_says_what_is_wrong(api: Api, path: str, content: object) -> None:
    answer = api.http.post(f"{api.box.admin_url}/{path}", json=content)

    assert answer.status_code == 400
    assert answer.json()["error"]


def test_back_door_is_not_limited(api: Api) -> None:
    assert [httpx.get(api.box.admin_url).status_code for _ in range(6)] == [200] * 6
    assert api.box.state.requests() == []
