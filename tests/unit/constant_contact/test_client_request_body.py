"""The body of an import: its parts, its length, its limits."""

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from constant_contact import (
    REQUEST_LIMIT_BYTES,
    BodyTooLarge,
    framing_bytes,
)
from tests.unit.constant_contact.sending import CSV, IMPORT, LIST, NAME, job, send

pytestmark = pytest.mark.anyio


async def test_an_import_is_multipart_with_one_part_of_list_ids(stage: Any, answer: Any) -> None:
    stage.script.on(IMPORT, answer(201, job()))
    async with stage.client() as client:
        receipt = await send(client, list_ids=["L1", "L2"])
    assert (receipt.activity.activity_id, receipt.reconciled) == ("a1", False)
    (request,) = stage.script.requests
    boundary = request.headers["Content-Type"].removeprefix("multipart/form-data; boundary=")
    assert "Content-Encoding" not in request.headers
    assert (
        request.content
        == (
            f"--{boundary}\r\n"
            'Content-Disposition: form-data; name="list_ids"\r\n\r\n'
            "L1,L2\r\n"
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="file"; filename="{NAME}"\r\n'
            "Content-Type: text/csv\r\n\r\n"
            f"{CSV.decode()}\r\n"
            f"--{boundary}--\r\n"
        ).encode()
    )
    counts = client.request_counts
    assert (counts.total, counts.uploads, counts.polls, counts.retried) == (1, 1, 0, 0)


@given(
    name=st.from_regex(r"[a-z0-9][A-Za-z0-9 ._-]{0,80}\.csv", fullmatch=True),
    list_ids=st.lists(st.uuids().map(str), min_size=1, max_size=50),
    size_bytes=st.integers(0, 5000),
)
def test_framing_and_file_make_the_content_length(
    name: str, list_ids: list[str], size_bytes: int
) -> None:
    request = httpx.Request(
        "POST",
        "https://api.cc.email/v3",
        data={"list_ids": ",".join(list_ids)},
        files={"file": (name, b"x" * size_bytes, "text/csv")},
    )
    length = int(request.headers["Content-Length"])
    assert framing_bytes(name, list_ids) + size_bytes == length == len(request.read())


async def test_framing_and_file_make_the_content_length_on_the_wire(
    stage: Any, answer: Any
) -> None:
    stage.script.on(IMPORT, answer(201, job()))
    async with stage.client() as client:
        await send(client)
    (request,) = stage.script.requests
    assert int(request.headers["Content-Length"]) == framing_bytes(NAME, [LIST]) + len(CSV)


async def test_a_body_is_under_four_million_bytes_framing_included(stage: Any, answer: Any) -> None:
    stage.script.on(IMPORT, answer(201, job()))
    room_bytes = REQUEST_LIMIT_BYTES - framing_bytes(NAME, [LIST])
    async with stage.client() as client:
        await send(client, body=b"x" * (room_bytes - 1))
        with pytest.raises(BodyTooLarge) as caught:
            await send(client, body=b"x" * room_bytes)
    assert caught.value.size_bytes == 4_000_000
    assert [int(r.headers["Content-Length"]) for r in stage.script.requests] == [3_999_999]


@pytest.mark.parametrize(
    "file_name", ["x.xlsx", "", ".csv", 'a"b.csv', "a/b.csv", "a\\b.csv", "a\r\nb.csv", "ä.csv"]
)
async def test_a_name_that_would_not_be_echoed_as_it_is_is_refused(
    stage: Any, file_name: str
) -> None:
    async with stage.client() as client:
        with pytest.raises(ValueError, match="file name"):
            await send(client, file_name=file_name)


@pytest.mark.parametrize("count", [0, 51])
async def test_one_to_fifty_lists_are_taken(stage: Any, count: int) -> None:
    async with stage.client() as client:
        with pytest.raises(ValueError, match="lists"):
            await send(client, list_ids=[LIST] * count)
