"""Connections as Prefect's UI shows and edits them."""

from pathlib import Path

from prefect.client.orchestration import get_client

from deployments.changes import Outcome
from deployments.connection_type import apply_connection_type
from tasks.connection_block import ConstantContactConnection
from tests.conftest import PrefectServer, using_prefect
from tests.e2e.office import Office
from tests.waiting import ask_prefect

SLUG = "constant-contact-connection"


def test_connection_that_was_edited_badly_is_told_and_stops_no_other(
    office: Office, vaulted: tuple[str, Path]
) -> None:
    name, folder = vaulted
    good = office.save()
    office.edit(name, daily_requests=0, may_use="everybody")
    shown = {
        one["name"]: one for one in office.here("connections", "--json").document["connections"]
    }
    assert shown[name]["sign_in"]["state"] == "broken"
    assert shown[good]["sign_in"]["state"] != "broken"
    told = office.here("connections")
    assert told.code == 0
    before = office.uploads()
    done = office.export(name)
    for said in (told.out, done.document["message"]):
        assert f"“{name}” was edited so that it cannot be used" in said
        assert "daily_requests: input should be greater than or equal to 1; may_use: " in said
    assert (done.code, done.document["refused"], office.uploads()) == (2, True, before)
    assert office.here("connections", "test", name).code == 2
    assert office.connect(name).code == 2
    assert office.here("connections", "test", good).code == 0
    unknown = office.here("connections", "test", name[:-1])
    assert (unknown.code, f"Did you mean {name}" in unknown.err) == (2, True)
    removed = office.here("connections", "remove", name, "--yes")
    assert removed.code == 0, removed.err
    assert not list(folder.iterdir())


def test_block_type_is_put_on_the_server_and_explains_itself(
    prefect_server: PrefectServer,
) -> None:
    with using_prefect(prefect_server.api_url), get_client(sync_client=True) as client:
        if (known := _read(prefect_server)) is not None:
            client.delete_block_type(known["id"])
        assert apply_connection_type(client).outcome is Outcome.CREATED
        assert apply_connection_type(client).outcome is Outcome.UNCHANGED
        found = _read(prefect_server)
        assert found is not None
        assert found["logo_url"].startswith("https://")
        assert "segment-export connect NAME" in found["description"]
        assert "import" not in found["code_example"]
        assert "segment-export connect acme" in found["code_example"]
        client.request(
            "PATCH", "/block_types/{id}", path_params={"id": found["id"]},
            json={"description": "Somebody's."},
        )  # fmt: skip
        assert apply_connection_type(client).outcome is Outcome.UPDATED
        schemas = client.request(
            "POST", "/block_schemas/filter",
            json={"block_schemas": {"block_type_id": {"any_": [found["id"]]}}},
        ).json()  # fmt: skip
    (schema,) = schemas
    fields = schema["fields"]["properties"]
    assert set(fields) == set(ConstantContactConnection.model_fields)
    assert all(one["title"] and one["description"] for one in fields.values())


def _read(server: PrefectServer) -> dict[str, str] | None:
    answer = ask_prefect("GET", f"{server.api_url}/block_types/slug/{SLUG}")
    found: dict[str, str] | None = answer.json() if answer.is_success else None
    return found
