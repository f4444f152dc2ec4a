"""Cases 60 to 68: what a file import accepts, and where it is cut."""

import gzip
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.contract.sandbox_api import NOBODY, Api, error_keys, open_api

IMPORT = "/activities/contacts_file_import"
LIMIT_BYTES = 4_000_000


@pytest.fixture
def api() -> Iterator[Api]:
    with open_api() as api:
        yield api


def test_case_60_file_goes_to_several_lists(api: Api) -> None:
    other = api.box.add_list("Other")
    accepted = api.import_csv(
        "email,first_name\na@x.com,A\nb@x.com,\n", list_ids=f"{api.list_id},{other}"
    )

    assert accepted.status_code == 201
    assert accepted.json()["state"] == "initialized"
    assert api.members() == {"a@x.com": {"first_name": "A"}, "b@x.com": {}}
    assert set(api.box.state.members(other)) == {"a@x.com", "b@x.com"}


def test_case_61_other_content_type_is_415(api: Api) -> None:
    assert api.post(IMPORT, {"list_ids": [api.list_id]}).status_code == 415


def test_case_62_other_file_name_is_415(api: Api) -> None:
    assert api.import_csv("email\na@x.com\n", file_name="x.xlsx").status_code == 415


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("first_name\nA\n", id="case 63, no address"),
        pytest.param("", id="empty"),
        pytest.param("Email\na@x.com\n", id="capital heading"),
        pytest.param("\ufeffemail\na@x.com\n", id="byte order mark"),
        pytest.param("email,age\na@x.com,3\n", id="unknown heading"),
        pytest.param("email,home_city\na@x.com,B\n", id="heading for JSON only"),
        pytest.param("email,email\na@x.com,b@x.com\n", id="repeated heading"),
        pytest.param("email;first_name\na@x.com;A\n", id="semicolons"),
        pytest.param("email,first_name\na@x.com,Bjørn\n".encode("latin-1"), id="not UTF-8"),
        pytest.param("email,sms_number\na@x.com,\n", id="SMS without permission"),
    ],
)
def test_case_63_bad_files_are_refused(api: Api, content: str | bytes) -> None:
    refused = api.import_csv(content)

    assert refused.status_code == 400
    assert error_keys(refused) == ["contacts.api.validation.error"]
    assert api.box.state.activities() == []


def test_case_64_lines_after_the_40_000th_are_ignored(api: Api) -> None:
    rows = "".join(f"{n}@x.com\n" for n in range(40_000))
    accepted = api.import_csv("email\n" + rows)

    assert accepted.status_code == 201
    assert api.counters(accepted)["items_total_count"] == 40_000
    assert api.counters(accepted)["person_count"] == 39_999
    assert "39999@x.com" not in api.members()
    assert "39998@x.com" in api.members()


def test_case_65_activity_tells_the_file_name(api: Api) -> None:
    accepted = api.import_csv("email\na@x.com\n", file_name="run-1-0123abcd.csv")

    assert accepted.json()["source_file_name"] == "run-1-0123abcd.csv"
    assert api.activity(accepted)["source_file_name"] == "run-1-0123abcd.csv"


def test_case_65_file_name_is_not_echoed_when_switched() -> None:
    with open_api(echo_file_name=False) as api:
        assert "source_file_name" not in api.activity(api.import_csv("email\na@x.com\n"))


def test_case_66_same_file_again_is_another_activity(api: Api) -> None:
    first, second = (api.import_csv("email\na@x.com\n") for _ in range(2))

    assert first.json()["activity_id"] != second.json()["activity_id"]
    assert len(api.box.state.activities()) == 2


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate"])
def test_case_68_compressed_body_is_refused(api: Api, encoding: str) -> None:
    request = api.http.build_request(
        "POST",
        IMPORT,
        data={"list_ids": api.list_id},
        files={"file": ("c.csv", gzip.compress(b"email\na@x.com\n"))},
        headers={"Content-Encoding": encoding},
    )

    assert api.http.send(request).status_code == 415


@pytest.mark.parametrize(
    ("data", "part"),
    [
        pytest.param({"list_id": "x"}, "file", id="wrong field"),
        pytest.param({"list_ids": "x", "note": "y"}, "file", id="extra field"),
        pytest.param({}, "file", id="no lists"),
        pytest.param({"list_ids": ""}, "file", id="empty lists"),
        pytest.param({"list_ids": "x,y"}, "file", id="no UUIDs"),
        pytest.param({"list_ids": "x"}, "data", id="wrong file part"),
        pytest.param({"list_ids": ["x", "x"]}, "file", id="one part a list"),
        pytest.param({"list_ids": "[x]"}, "file", id="JSON lists"),
    ],
)
def test_wrong_parts_are_refused(api: Api, data: dict[str, Any], part: str) -> None:
    refused = api.http.post(IMPORT, data=data, files={part: ("c.csv", "email\na@x.com\n")})

    assert refused.status_code == 400
    assert error_keys(refused) == ["contacts.api.validation.error"]


def test_file_without_a_file_name_is_refused(api: Api) -> None:
    files: list[Any] = [("list_ids", (None, api.list_id)), ("file", (None, "email\na@x.com\n"))]

    assert api.http.post(IMPORT, files=files).status_code == 400


def test_unknown_list_is_404(api: Api) -> None:
    refused = api.import_csv("email\na@x.com\n", list_ids=NOBODY)

    assert refused.status_code == 404
    assert error_keys(refused) == ["contacts.api.not_found"]


def test_body_without_its_closing_boundary_is_refused(api: Api) -> None:
    request = api.http.build_request(
        "POST", IMPORT, data={"list_ids": api.list_id}, files={"file": ("c.csv", "email\na@x.com")}
    )
    body = request.read()[:-10]
    refused = api.http.post(
        IMPORT, content=body, headers={"Content-Type": request.headers["content-type"]}
    )

    assert refused.status_code == 400


ROW_BYTES = 119


def sized_request(api: Api, body_bytes: int) -> tuple[httpx.Request, int]:
    """Return a file import whose body has exactly so many bytes, and its number of contacts."""
    data, header = {"list_ids": api.list_id}, b"email,street\n"
    empty = api.http.build_request("POST", IMPORT, data=data, files={"file": ("c.csv", header)})
    room = body_bytes - int(empty.headers["content-length"])
    count = room // ROW_BYTES
    rows = [b"%05d@example.com,%s\n" % (n, b"s" * 100) for n in range(count)]
    rows[-1] = rows[-1][:-1] + b"s" * (room - count * ROW_BYTES) + b"\n"
    files = {"file": ("c.csv", header + b"".join(rows))}
    request = api.http.build_request("POST", IMPORT, data=data, files=files)
    assert int(request.headers["content-length"]) == body_bytes
    assert {len(row) for row in rows[:-1]} == {ROW_BYTES}
    return request, count


@pytest.mark.parametrize(
    ("over_bytes", "least_lost", "most_lost"),
    [
        (-1, 0, 0),
        *((over_bytes, 1, 1) for over_bytes in (0, 1, 2, 3, 4, 30, 36, 37, 38, 39, 40, 60)),
        (150, 1, 2),
        (6_000, 50, 51),
    ],
)
def test_case_52_body_is_cut_at_four_million_bytes(
    api: Api, over_bytes: int, least_lost: int, most_lost: int
) -> None:
    request, count = sized_request(api, LIMIT_BYTES + over_bytes)
    activity = api.activity(api.http.send(request))

    assert activity["state"] == "completed"
    assert activity["activity_errors"] == []
    assert least_lost <= count - len(api.members()) <= most_lost
    assert activity["status"]["person_count"] == len(api.members())


def test_quoted_cells_keep_commas_quotes_and_line_breaks(api: Api) -> None:
    api.import_csv('email,first_name,last_name\r\na@x.com,"O""Neil, Jr.","Line\r\nbreak"\r\n')

    assert api.members() == {"a@x.com": {"first_name": 'O"Neil, Jr.', "last_name": "Line\r\nbreak"}}


def test_empty_cell_never_blanks_a_value(api: Api) -> None:
    api.box.add_contact("a@x.com", properties={"first_name": "Kept"})
    api.import_csv("email,first_name,last_name\na@x.com,,L\n")

    assert api.members() == {"a@x.com": {"first_name": "Kept", "last_name": "L"}}


def test_row_with_too_many_cells_is_an_error(api: Api) -> None:
    activity = api.activity(api.import_csv("email,first_name\na@x.com,A,B\nb@x.com\n"))

    assert activity["status"]["error_count"] == 1
    assert activity["activity_errors"] == ["Line 2: Too many values"]
    assert api.members() == {"b@x.com": {}}


def test_broken_quotes_fail_the_activity(api: Api) -> None:
    accepted = api.import_csv('email,first_name\na@x.com,"A"B\n')

    assert api.activity(accepted)["state"] == "failed"


def test_custom_fields_are_columns(api: Api) -> None:
    api.box.add_custom_field("Loyalty Tier")
    api.import_csv("email,cf:Loyalty_Tier,cf:other\na@x.com,gold,x\n")

    assert api.members() == {"a@x.com": {"cf:Loyalty_Tier": "gold"}}


def test_contact_on_too_many_lists_is_an_error() -> None:
    with open_api(lists_per_contact=1) as api:
        api.box.add_contact("a@x.com", list_ids=[api.box.add_list("Other")])
        assert api.counters(api.import_csv("email\na@x.com\n"))["error_count"] == 1


def test_time_of_an_import_grows_with_its_rows() -> None:
    with open_api(processing_s=1.0, processing_s_per_1000_rows=500.0) as api:
        accepted = api.import_csv("email\n" + "a@x.com\n" * 9)
        api.clock.advance(5.5)
        assert api.activity(accepted)["state"] == "processing"
        api.clock.advance(0.5)
        assert api.activity(accepted)["state"] == "completed"
