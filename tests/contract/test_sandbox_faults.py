"""Cases 67, 108 and 109: faults that a script calls for, and how they show on the wire."""

import time
from collections.abc import Iterator

import httpx
import pytest

from sandbox import Fault
from tests.contract.sandbox_api import Api, open_api

FILE = "email\na@x.com\n"


@pytest.fixture
def api() -> Iterator[Api]:
    with open_api() as api:
        yield api


@pytest.mark.parametrize(("when", "jobs"), [("before", 0), ("after", 1)])
def test_case_67_connection_is_dropped(api: Api, when: str, jobs: int) -> None:
    api.box.script(Fault("file_import", "drop", when=when))
    with pytest.raises(httpx.TransportError):
        api.import_csv(FILE, file_name="lost.csv")

    found = api.get("/activities").json()["activities"]
    assert [one["source_file_name"] for one in found] == ["lost.csv"] * jobs
    (request,) = api.box.state.requests("file_import")
    assert (request.status, request.file_name) == (None, "lost.csv")


@pytest.mark.parametrize(("when", "jobs"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize("status", [500, 503])
def test_case_108_import_fails_with_its_job_stored_or_not(
    api: Api, status: int, when: str, jobs: int
) -> None:
    api.box.script(Fault("file_import", "status", status=status, when=when))

    assert api.import_csv(FILE).status_code == status
    assert len(api.box.state.activities()) == jobs
    assert api.import_csv(FILE).status_code == 201


def test_case_109_success_with_html(api: Api) -> None:
    api.box.script(Fault("lists", "status", status=200, envelope="html"))
    answer = api.get("/contact_lists")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html"
    assert answer.text.startswith("<html>")


@pytest.mark.parametrize(
    ("envelope", "text"),
    [
        ("array", '[{"error_key":"scripted_fault","error_message":"A scripted fault"}]'),
        ("object", '{"error_key":"scripted_fault","error_message":"A scripted fault"}'),
        ("gateway", '{"message":"A scripted fault"}'),
        ("oauth", '{"error":"scripted_fault","error_description":"A scripted fault"}'),
        ("empty", ""),
        ("malformed", '{"error_key": "'),
    ],
)
def test_faults_come_in_every_envelope(api: Api, envelope: str, text: str) -> None:
    api.box.script(Fault("account", "status", status=502, envelope=envelope))
    answer = api.get("/account/summary")

    assert (answer.status_code, answer.text) == (502, text)


def test_fault_may_bring_its_own_body(api: Api) -> None:
    api.box.script(Fault("lists", "status", status=200, body='{"lists": 7}'))

    assert api.get("/contact_lists").json() == {"lists": 7}


def test_fault_strikes_at_its_occurrence_and_as_often_as_told(api: Api) -> None:
    api.get("/contact_lists")
    api.box.script(Fault("lists", "status", occurrence=2, repeat=2))
    statuses = [api.get("/contact_lists").status_code for _ in range(5)]

    assert statuses == [200, 503, 503, 200, 200]


def test_other_operations_do_not_count(api: Api) -> None:
    api.box.script(Fault("lists", "status"))

    assert api.get("/account/summary").status_code == 200
    assert api.get(f"/contact_lists/{api.list_id}").status_code == 200
    assert api.get("/contact_lists").status_code == 503


def test_refused_requests_do_not_count() -> None:
    with open_api(requests_per_second=1) as api:
        api.box.script(Fault("lists", "status", occurrence=2))
        statuses = []
        for _ in range(2):
            statuses += [api.get("/contact_lists").status_code for _ in range(2)]
            api.clock.advance(1)

        assert statuses == [200, 429, 503, 429]


def test_cleared_script_is_forgotten(api: Api) -> None:
    api.box.script(Fault("lists", "status"))
    api.box.clear_script()

    assert api.get("/contact_lists").status_code == 200


@pytest.mark.parametrize("when", ["before", "after"])
def test_lost_answer_of_a_refresh_spends_the_token_only_afterwards(api: Api, when: str) -> None:
    api.box.script(Fault("token", "drop", when=when))
    with pytest.raises(httpx.TransportError):
        api.refresh(api.box.refresh_token)

    status = 200 if when == "before" else 400
    assert api.refresh(api.box.refresh_token).status_code == status


@pytest.mark.parametrize(("when", "jobs"), [("before", 0), ("after", 1)])
def test_delay_outlasts_an_impatient_client(api: Api, when: str, jobs: int) -> None:
    api.box.script(Fault("file_import", "delay", when=when, seconds=30.0))
    api.http.timeout = httpx.Timeout(0.3)
    with pytest.raises(httpx.ReadTimeout):
        api.import_csv(FILE)

    assert len(api.box.state.activities()) == jobs


def test_slow_body_comes_in_pieces(api: Api) -> None:
    api.box.script(Fault("lists", "slow_body", seconds=0.2))
    started_s = time.monotonic()

    assert api.get("/contact_lists").json()["lists"]
    assert time.monotonic() - started_s >= 0.2


def test_truncated_answer_is_no_json(api: Api) -> None:
    api.box.script(Fault("activities", "truncated"))
    answer = api.get("/activities")

    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        answer.json()


def test_fields_are_missing_at_any_depth(api: Api) -> None:
    api.import_csv(FILE)
    api.box.script(Fault("activities", "missing", fields=("status", "percent_done")))
    (activity,) = api.get("/activities").json()["activities"]

    assert not {"status", "percent_done"} & set(activity)
    assert activity["state"] == "completed"


def test_activity_ends_in_a_state_that_nobody_knows(api: Api) -> None:
    api.box.script(Fault("json_import", "outcome", state="paused"))

    assert api.activity(api.import_json({"email": "a@x.com"}))["state"] == "paused"


def test_activity_never_ends() -> None:
    with open_api(activity_queue=1) as api:
        api.box.script(Fault("file_import", "outcome", state="processing"))
        accepted = api.import_csv(FILE)
        api.clock.advance(3_600)

        assert api.activity(accepted)["state"] == "processing"
        assert api.import_csv(FILE).status_code == 429


def test_activity_takes_longer_than_others() -> None:
    with open_api(processing_s=1.0) as api:
        api.box.script(Fault("file_import", "duration", seconds=60.0))
        slow, fast = (api.import_csv(FILE) for _ in range(2))
        api.clock.advance(1)

        assert api.activity(slow)["state"] == "processing"
        assert api.activity(fast)["state"] == "completed"


def test_activity_hides_for_some_reads_of_the_collection(api: Api) -> None:
    api.box.script(Fault("file_import", "hidden", reads=2))
    accepted = api.import_csv(FILE)
    seen = [len(api.get("/activities").json()["activities"]) for _ in range(3)]

    assert seen == [0, 0, 1]
    assert api.activity(accepted)["state"] == "completed"


def test_activity_hides_for_some_seconds(api: Api) -> None:
    api.box.script(Fault("file_import", "hidden", seconds=5.0))
    api.import_csv(FILE)
    seen = []
    for _ in range(2):
        seen.append(len(api.get("/activities").json()["activities"]))
        api.clock.advance(5)

    assert seen == [0, 1]


def test_activity_does_not_tell_its_file_name(api: Api) -> None:
    api.box.script(Fault("file_import", "unnamed"))
    first, second = (api.import_csv(FILE) for _ in range(2))

    assert "source_file_name" not in first.json()
    assert "source_file_name" not in api.activity(first)
    assert api.activity(second)["source_file_name"] == "c.csv"


def test_hidden_activity_and_lost_answer_go_together(api: Api) -> None:
    api.box.script(
        Fault("file_import", "hidden", reads=1), Fault("file_import", "drop", when="after")
    )
    with pytest.raises(httpx.TransportError):
        api.import_csv(FILE)
    seen = [len(api.get("/activities").json()["activities"]) for _ in range(2)]

    assert seen == [0, 1]


@pytest.mark.parametrize("counts", [{"occurrence": 0}, {"repeat": 0}])
def test_fault_that_could_never_strike_is_refused(counts: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="begin at 1"):
        Fault("lists", "status", **counts)
