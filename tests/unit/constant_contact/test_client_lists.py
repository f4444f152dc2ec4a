"""A list is found by UUID, by number, or by the address copied from the browser."""

from typing import Any

import pytest

from constant_contact import ListNotFound, ServerFault
from constant_contact._lists import read_list_reference

pytestmark = pytest.mark.anyio

UUID = "71600990-908b-11e6-907f-1200166bff25"
XREFS = "GET /v3/contact_lists/list_id_xrefs"
ONE = f"GET /v3/contact_lists/{UUID}"


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        (UUID, (UUID, None)),
        (f"  {UUID.upper()} ", (UUID, None)),
        ("1995998026", (None, "1995998026")),
        ("0016633325", (None, "0016633325")),
        (f"https://app.constantcontact.com/pages/contacts/ui/lists/{UUID}", (UUID, None)),
        ("https://app.constantcontact.com/pages/contacts/ui#contacts/1995998", (None, "1995998")),
        ("https://app.constantcontact.com/ui#contacts/1995998?page=2", (None, "1995998")),
        ("https://app.constantcontact.com/contacts/2/lists?listId=77&sort=asc", (None, "77")),
        ("https://app.constantcontact.com/x/lists/77/page/2", (None, "77")),
        ("https://app.constantcontact.com/x/2/77", (None, "77")),
        (f"https://app.constantcontact.com/x?list={UUID}&page=2", (UUID, None)),
        ("https://app.constantcontact.com/pages/dashboard", (None, None)),
        ("Newsletter", (None, None)),
        ("Newsletter 2026", (None, None)),
        ("", (None, None)),
    ],
)  # fmt: skip
def test_what_a_person_copied_is_understood(
    text: str, reference: tuple[str | None, str | None]
) -> None:
    assert read_list_reference(text) == reference


async def test_a_list_is_found_by_its_uuid(stage: Any, answer: Any) -> None:
    stage.script.on(ONE, answer(200, {"list_id": UUID, "name": "News", "membership_count": 5}))
    async with stage.client() as client:
        found = await client.resolve_list(UUID)
    assert (found.list_id, found.name, found.membership_count) == (UUID, "News", 5)


async def test_a_list_is_found_by_its_number(stage: Any, answer: Any) -> None:
    stage.script.on(
        XREFS, answer(200, {"xrefs": [{"sequence_id": "0016633325", "list_id": UUID}]})
    ).on(ONE, answer(200, {"list_id": UUID, "name": "News"}))
    async with stage.client() as client:
        found = await client.resolve_list("16633325")
    assert found.list_id == UUID
    assert stage.script.requests[0].url.params["sequence_ids"] == "16633325"


@pytest.mark.parametrize("status", [400, 404])
async def test_an_unknown_list_names_those_that_come_near(
    stage: Any, answer: Any, status: int
) -> None:
    lists = [{"list_id": f"id-{n}", "name": f"Newsletter {n}"} for n in range(9)]
    lists.append({"list_id": "id-x", "name": "Something else"})
    stage.script.on(ONE, answer(status)).on("GET /v3/contact_lists", answer(200, {"lists": lists}))
    async with stage.client() as client:
        with pytest.raises(ListNotFound) as caught:
            await client.resolve_list("Newsletter 3")
        with pytest.raises(ListNotFound):
            await client.resolve_list(UUID)
    assert caught.value.suggestions[0] == ("id-3", "Newsletter 3")
    assert len(caught.value.suggestions) == 5
    assert "Newsletter 3 (id-3)" in str(caught.value)


async def test_a_number_that_the_service_does_not_know_is_an_unknown_list(
    stage: Any, answer: Any
) -> None:
    stage.script.on(XREFS, answer(200, {"xrefs": []}))
    stage.script.on("GET /v3/contact_lists", answer(200, {"lists": []}))
    async with stage.client() as client:
        with pytest.raises(ListNotFound, match="create one"):
            await client.resolve_list("5")


async def test_a_fault_is_not_taken_for_an_unknown_list(stage: Any, answer: Any) -> None:
    stage.script.on(ONE, answer(500))
    async with stage.client() as client:
        with pytest.raises(ServerFault):
            await client.resolve_list(UUID)
