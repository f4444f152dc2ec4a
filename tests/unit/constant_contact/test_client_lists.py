"""A list is found by UUID, by number, or by the address copied from the browser."""

from typing import Any

import httpx
import pytest

from constant_contact import ListNotFound, MalformedAnswer, ServerFault
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


@pytest.mark.parametrize(
    "body", [{"list_id": UUID.replace("7", "8"), "name": "Other"}, {"hello": 1}, {}, []]
)
async def test_an_answer_about_something_else_is_not_taken_for_the_list(
    stage: Any, answer: Any, body: Any
) -> None:
    stage.script.on(ONE, answer(200, body))
    async with stage.client() as client:
        with pytest.raises(MalformedAnswer, match="not of the list that was asked for"):
            await client.resolve_list(UUID)


async def test_an_id_in_other_letters_is_the_same(stage: Any, answer: Any) -> None:
    stage.script.on(ONE, answer(200, {"list_id": UUID.upper()}))
    async with stage.client() as client:
        assert (await client.resolve_list(UUID)).list_id.lower() == UUID


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


@pytest.mark.parametrize("known", [[], None])
async def test_a_number_that_the_service_does_not_know_is_an_unknown_list(
    stage: Any, answer: Any, known: Any
) -> None:
    stage.script.on(XREFS, answer(200, {"xrefs": known}))
    stage.script.on("GET /v3/contact_lists", answer(200, {"lists": []}))
    async with stage.client() as client:
        with pytest.raises(ListNotFound, match="create one"):
            await client.resolve_list("5")
    assert stage.script.count(XREFS) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"message": "Down for maintenance"},
        {"xrefs": {}},
        {"xrefs": [{"sequence_id": "5"}]},
        {"xrefs": [{"sequence_id": "5", "list_id": " "}]},
        {"xrefs": [{"sequence_id": "6", "list_id": UUID}]},
        {"xrefs": [{"list_id": UUID}, None]},
    ],
)
async def test_an_answer_that_does_not_name_the_list_of_a_number_is_asked_for_again(
    stage: Any, answer: Any, body: Any
) -> None:
    named = answer(200, {"xrefs": [{"sequence_id": 5, "list_id": UUID}]})
    stage.script.on(XREFS, answer(200, body), named).on(ONE, answer(200, {"name": "News"}))
    async with stage.client() as client:
        assert (await client.resolve_list("5")).list_id == UUID
        stage.script.on(XREFS, answer(200, body))
        with pytest.raises(MalformedAnswer, match="does not say which list it is"):
            await client.resolve_list("5")
    assert stage.script.count(XREFS) == 2 + 6


@pytest.mark.parametrize(
    "text", ["https://[app/lists/1", "https://app\uff0fx.example/lists/1", "https://a]/lists/1"]
)
async def test_an_address_that_cannot_be_read_is_refused_before_anything_is_asked(
    stage: Any, text: str
) -> None:
    async with stage.client() as client:
        with pytest.raises(ListNotFound, match="is an address that cannot be read"):
            await client.resolve_list(text)
    assert stage.script.requests == []


async def test_a_fault_is_not_taken_for_an_unknown_list(stage: Any, answer: Any) -> None:
    stage.script.on(ONE, answer(500))
    async with stage.client() as client:
        with pytest.raises(ServerFault):
            await client.resolve_list(UUID)


@pytest.mark.parametrize("body", [{}, {"list_id": None}, {"list_id": ""}])
async def test_an_answer_without_an_id_is_the_list_asked_for_if_it_has_a_name(
    stage: Any, answer: Any, body: Any
) -> None:
    stage.script.on(ONE, answer(200, {**body, "name": "News"}))
    async with stage.client() as client:
        found = await client.resolve_list(UUID)
    assert (found.list_id, found.name) == (UUID, "News")


@pytest.mark.parametrize(
    ("text", "step"),
    [("list_7", "list_7"), (" vip ", "vip"), ("a?b%", "a%3Fb%25"), ("Ä", "%C3%84")],
)
async def test_an_account_may_use_ids_of_another_form(stage: Any, text: str, step: str) -> None:
    def show(request: httpx.Request) -> httpx.Response:
        assert request.url.raw_path.startswith(f"/v3/contact_lists/{step}?".encode())
        return httpx.Response(200, json={"name": "News"})

    async with stage.client(transport=httpx.MockTransport(show)) as client:
        found = await client.resolve_list(text)
    assert (found.list_id, found.name) == (text.strip(), "News")


async def test_a_number_may_lead_to_an_id_of_another_form(stage: Any, answer: Any) -> None:
    stage.script.on(XREFS, answer(200, {"xrefs": [{"sequence_id": "5", "list_id": "list_5"}]}))
    stage.script.on("GET /v3/contact_lists/list_5", answer(200, {"name": "News"}))
    async with stage.client() as client:
        assert (await client.resolve_list("5")).list_id == "list_5"


@pytest.mark.parametrize("status", [400, 404])
async def test_a_word_that_is_no_id_is_an_unknown_list(
    stage: Any, answer: Any, status: int
) -> None:
    lists = {"lists": [{"list_id": UUID, "name": "Newsletter"}]}
    stage.script.on("GET /v3/contact_lists/Newsletter", answer(status))
    stage.script.on("GET /v3/contact_lists", answer(200, lists))
    async with stage.client() as client:
        with pytest.raises(ListNotFound, match=UUID):
            await client.resolve_list("Newsletter")


@pytest.mark.parametrize("text", ["", " ", "..", "a/b", "two words", "https://x.example/pages"])
async def test_what_can_be_no_id_is_not_asked_for(stage: Any, answer: Any, text: str) -> None:
    stage.script.on("GET /v3/contact_lists", answer(200, {"lists": []}))
    async with stage.client() as client:
        with pytest.raises(ListNotFound):
            await client.resolve_list(text)
    assert len(stage.script.requests) == 1
