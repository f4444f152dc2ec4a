"""What the service says is read tolerantly: no field is promised."""

import pickle
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constant_contact import Account, Activity, ActivityState, ContactList, CustomField
from constant_contact._models import read_moment

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner),
    max_leaves=6,
)
FIELDS = [
    "activity_id", "state", "source_file_name", "percent_done", "created_at", "status",
    "activity_errors", "list_id", "name", "contact_id", "email_address", "country_code",
]  # fmt: skip


def test_an_import_activity_is_read_whole() -> None:
    activity = Activity.from_json(
        {
            "activity_id": "a1",
            "state": "completed",
            "created_at": "2016-01-23T13:48:44.108Z",
            "source_file_name": "x.csv",
            "percent_done": "100",
            "activity_errors": ["Line 3: Invalid email address", {"message": "odd"}, 5],
            "status": {
                "items_total_count": 87,
                "person_count": 20,
                "error_count": 1,
                "correctable_count": 2.0,
                "cannot_add_to_list_count": None,
            },
        }
    )
    assert activity is not None
    assert activity.state is ActivityState.COMPLETED
    assert activity.percent_done == 100
    assert activity.activity_errors == ("Line 3: Invalid email address", "odd")
    counters = activity.counters
    assert (counters.items_total, counters.person, counters.error) == (87, 20, 1)
    assert (counters.correctable, counters.cannot_add_to_list) == (2, None)
    assert "Line 3" not in repr(activity)
    assert pickle.loads(pickle.dumps(activity)) == activity  # noqa: S301 - our own bytes


@given(st.dictionaries(st.sampled_from(FIELDS), JSON) | JSON)
def test_no_answer_makes_reading_fail(found: Any) -> None:
    for model in (Activity, Account, ContactList, CustomField):
        model.from_json(found)


@pytest.mark.parametrize(
    ("word", "state", "is_finished", "is_failed"),
    [
        ("initialized", ActivityState.INITIALIZED, False, False),
        ("PROCESSING", ActivityState.PROCESSING, False, False),
        ("completed", ActivityState.COMPLETED, True, False),
        ("cancelled", ActivityState.CANCELLED, True, True),
        ("failed", ActivityState.FAILED, True, True),
        ("timed_out", ActivityState.TIMED_OUT, True, True),
        ("time_out", ActivityState.TIMED_OUT, True, True),
        ("canceled", ActivityState.CANCELLED, True, True),
        ("paused", ActivityState.UNKNOWN, False, False),
        (None, ActivityState.UNKNOWN, False, False),
        (7, ActivityState.UNKNOWN, False, False),
    ],
)
def test_a_state_that_we_do_not_know_counts_as_unfinished(
    word: object, state: ActivityState, is_finished: bool, is_failed: bool
) -> None:
    activity = Activity.from_json({"activity_id": "a1", "state": word})
    assert activity is not None
    assert activity.state is state
    assert (state.is_finished, state.is_failed) == (is_finished, is_failed)


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ({"percent_done": 100, "status": {"person_count": 2}}, ActivityState.COMPLETED),
        ({"completed_at": "2026-11-23T10:00:00Z", "status": {"person_count": 0}},
         ActivityState.COMPLETED),
        ({"percent_done": 99, "status": {"person_count": 2}}, ActivityState.UNKNOWN),
        ({"percent_done": 100}, ActivityState.UNKNOWN),
        ({"percent_done": 100, "status": {"person_count": 2}, "state": "archived"},
         ActivityState.UNKNOWN),
    ],
)  # fmt: skip
def test_an_import_without_a_state_has_ended_when_it_counts_people(
    said: dict[str, Any], state: ActivityState
) -> None:
    activity = Activity.from_json({"activity_id": "a1", **said})
    assert activity is not None
    assert activity.state is state


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2016-01-23T13:48:44.108Z", datetime(2016, 1, 23, 13, 48, 44, 108000, UTC)),
        ("2016-03-03T10:53:04-05:00", datetime(2016, 3, 3, 15, 53, 4, tzinfo=UTC)),
        ("2026-04-28T21:46:22Z", datetime(2026, 4, 28, 21, 46, 22, tzinfo=UTC)),
        ("2026-02-05T07:32:49.766+0000", datetime(2026, 2, 5, 7, 32, 49, 766000, UTC)),
        ("2026-02-05", datetime(2026, 2, 5, tzinfo=UTC)),
        ("yesterday", None),
        (5, None),
        (None, None),
    ],
)
def test_dates_are_read_in_all_their_forms(text: object, moment: datetime | None) -> None:
    assert read_moment(text) == moment


def test_a_deleted_list_is_no_list() -> None:
    assert ContactList.from_json({"list_id": "l1", "deleted_at": "2026-02-05T00:00:00Z"}) is None
