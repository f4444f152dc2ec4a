"""Cases 28 to 31: requests a second, requests a day, activities in the queue."""

from collections.abc import Iterator

import pytest

from sandbox import SandboxSettings
from sandbox._limits import DailyQuota
from tests.contract.sandbox_api import Api, open_api


@pytest.fixture
def api() -> Iterator[Api]:
    with open_api(requests_per_second=4) as api:
        yield api


def ask(api: Api, token: str = "") -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else None
    return api.get("/account/user/privileges", headers=headers).status_code


def test_case_28_fifth_call_in_one_second_is_throttled(api: Api) -> None:
    assert [ask(api) for _ in range(4)] == [200] * 4

    fifth = api.get("/account/user/privileges")
    assert fifth.status_code == 429
    assert fifth.json() == {"error_key": "throttled", "error_message": "Too Many Requests"}
    assert "retry-after" not in fifth.headers


def test_case_28_the_second_slides(api: Api) -> None:
    answers = []
    for _ in range(4):
        answers.append(ask(api))
        api.clock.advance(0.125)
    api.clock.advance(0.375)
    too_early = ask(api)
    api.clock.advance(0.125)
    in_time = ask(api)

    assert (answers, too_early, in_time) == ([200] * 4, 429, 200)
    assert ask(api) == 429
    assert api.box.state.most_requests_in_any_second() == 6


def test_refused_calls_do_not_count(api: Api) -> None:
    assert [ask(api) for _ in range(40)].count(429) == 36
    api.clock.advance(1)
    assert [ask(api) for _ in range(4)] == [200] * 4


def test_case_29_tokens_of_one_client_share_the_limit(api: Api) -> None:
    tokens = [api.box.access_token() for _ in range(5)]

    assert [ask(api, token) for token in tokens] == [200, 200, 200, 200, 429]


def test_case_29_another_client_has_its_own_limit(api: Api) -> None:
    other = api.box.access_token(client_id=api.box.add_client().client_id)

    assert [ask(api) for _ in range(5)][-1] == 429
    assert ask(api, other) == 200


def test_case_30_quota_ends_at_midnight_utc() -> None:
    with open_api(requests_per_day=3) as api:
        assert [ask(api) for _ in range(4)] == [200, 200, 200, 429]
        refused = api.get("/account/summary")
        assert refused.json() == {"error_key": "quota_exceeded", "error_message": "Limit Exceeded"}

        api.clock.advance(12 * 3_600 - 1)
        assert ask(api) == 429
        api.clock.advance(1)
        assert ask(api) == 200


def test_case_30_ten_thousand_calls_a_day_by_default() -> None:
    quota = DailyQuota(SandboxSettings().requests_per_day)
    for _ in range(10_000):
        assert quota.has_room(utc_s=86_400.0)
        quota.spend()

    assert not quota.has_room(utc_s=86_400.0)


def test_case_31_full_queue_refuses_activities_until_one_is_done() -> None:
    with open_api(activity_queue=2, processing_s=10.0) as api:
        first, second, third = (api.import_csv("email\na@x.com\n") for _ in range(3))
        assert [first.status_code, second.status_code, third.status_code] == [201, 201, 429]

        api.clock.advance(10)
        assert api.import_csv("email\na@x.com\n").status_code == 201


def test_body_of_a_throttled_upload_is_read_before_the_answer(api: Api) -> None:
    for _ in range(4):
        ask(api)
    refused = api.import_csv("email\n" + "someone@example.com\n" * 100_000)

    assert refused.status_code == 429
    assert api.box.state.requests("file_import")[0].body_bytes > 2_000_000
    assert api.box.state.activities() == []
