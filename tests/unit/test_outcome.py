"""What a run amounts to, decided from counts: a table of every way in which it can end."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.outcome import Stop, add_up, decide_status, find_imbalance, phrase_outcome
from schemas.outcome import BatchOutcome, BatchState, Counts, Status

HUNDRED = Counts(profiles_in_segment=103, sent=100, rejected=2, duplicates=1)


def batch(
    state: BatchState = BatchState.COMPLETED,
    *,
    rows: int = 100,
    person: int | None = 100,
    total: int | None = None,
    errors: int = 0,
    correctable: int = 0,
    unsubscribed: int = 0,
    earlier: bool = False,
) -> BatchOutcome:
    return BatchOutcome(
        file_name="x.0123456789ab.0001.0123456789ab.csv",
        rows=rows,
        bytes=1,
        activity_id=None if state is BatchState.NOT_SENT else "id",
        state=state,
        already_accepted=earlier,
        items_total_count=total,
        person_count=person if state is BatchState.COMPLETED else None,
        error_count=errors,
        correctable_count=correctable,
        cannot_add_to_list_count=unsubscribed,
    )


@pytest.mark.parametrize(
    ("counts", "batches", "stop", "status"),
    [
        (HUNDRED, [batch()], None, Status.COMPLETED_WITH_REJECTS),
        (HUNDRED.model_copy(update={"rejected": 0}), [batch()], None, Status.COMPLETED),
        (HUNDRED, [batch(earlier=True)], None, Status.NOTHING_TO_DO),
        (Counts(), [], None, Status.NOTHING_TO_DO),
        (Counts(profiles_in_segment=2, rejected=2), [], None, Status.COMPLETED_WITH_REJECTS),
        (HUNDRED, [batch(), batch(earlier=True)], None, Status.COMPLETED_WITH_REJECTS),
        (HUNDRED, [batch(BatchState.FAILED)], None, Status.FAILED),
        (HUNDRED, [batch(), batch(BatchState.CANCELLED)], None, Status.FAILED),
        (HUNDRED, [batch(), batch(BatchState.TIMED_OUT)], None, Status.FAILED),
        (HUNDRED, [batch(), batch(BatchState.REFUSED)], None, Status.FAILED),
        (HUNDRED, [batch(BatchState.PROCESSING)], None, Status.INCOMPLETE),
        (HUNDRED, [batch(BatchState.UNKNOWN)], None, Status.INCOMPLETE),
        (HUNDRED, [batch(), batch(BatchState.NOT_SENT)], Stop("quota"), Status.INCOMPLETE),
        (HUNDRED, [batch(BatchState.NOT_SENT)], Stop("down"), Status.FAILED),
        (HUNDRED, [batch(BatchState.NOT_SENT)], Stop("w", can_continue=True), Status.INCOMPLETE),
        (HUNDRED, [batch(BatchState.FAILED)], Stop("w", can_continue=True), Status.FAILED),
    ],
)
def test_status_names_the_worst_that_happened(
    counts: Counts, batches: list[BatchOutcome], stop: Stop | None, status: Status
) -> None:
    assert decide_status(counts, batches, stop=stop) is status


@pytest.mark.parametrize("field", ["api_errors", "api_correctable", "cannot_add_to_list"])
def test_completed_is_not_called_success_when_constant_contact_refused_contacts(
    field: str,
) -> None:
    counts = Counts(profiles_in_segment=1, sent=1).model_copy(update={field: 1})
    assert decide_status(counts, [batch(rows=1, person=1)]) is Status.COMPLETED_WITH_REJECTS


@pytest.mark.parametrize(
    ("one", "unexplained", "imported"),
    [
        (batch(), 0, 100),
        (batch(person=100, correctable=3), 0, 97),  # person_count counts every row
        (batch(person=97, correctable=3), 0, 97),  # person_count counts those taken
        (batch(person=97, errors=1, correctable=1, unsubscribed=1), 0, 97),
        (batch(person=100, unsubscribed=4), 0, 96),
        (batch(person=96, unsubscribed=4), 0, 96),
        (batch(person=98, errors=2, unsubscribed=4), 0, 94),
        (batch(person=60), 40, 60),  # cut off at 4 MB without a word
        (batch(person=57, correctable=3), 40, 57),
        (batch(person=0), 100, 0),
        (batch(person=None), 0, 100),
        (batch(person=None, total=61), 40, 60),
        (batch(person=None, total=101), 0, 100),
        (batch(person=None, total=0), 0, 100),
        (batch(person=0, total=0), 100, 0),
        (batch(person=95, unsubscribed=10, total=96), 5, 85),  # cut off, person_count all rows
        (batch(person=85, unsubscribed=10, total=96), 5, 85),  # cut off, person_count those taken
        (batch(person=90, unsubscribed=10, total=91), 10, 80),
        (batch(person=60, total=61), 40, 60),
        (batch(person=0, total=1), 100, 0),
        (batch(person=90, unsubscribed=10, total=101), 0, 90),
        (batch(person=100, unsubscribed=10, total=101), 0, 90),
        (batch(person=90, unsubscribed=10, total=100), 0, 90),  # a total without the header
        (batch(person=90, unsubscribed=10, total=0), 0, 90),  # a total that was never filled in
        (batch(person=90, unsubscribed=10, total=500), 0, 90),
        (batch(BatchState.PROCESSING), 0, 0),
        (batch(BatchState.FAILED), 0, 0),
    ],
)
def test_counters_are_compared_with_what_was_sent_in_either_reading(
    one: BatchOutcome, unexplained: int, imported: int
) -> None:
    assert one.unexplained_rows == unexplained
    assert one.imported_rows == imported


def test_contacts_lost_without_a_word_fail_the_run_and_say_how_many() -> None:
    batches = [batch(person=60)]
    imbalance = find_imbalance(HUNDRED, batches, all_cut=True)
    assert "40 of 100 contacts" in imbalance
    assert decide_status(HUNDRED, batches, imbalance=imbalance) is Status.FAILED


@given(
    counts=st.builds(
        Counts,
        profiles_in_segment=st.integers(0, 9),
        sent=st.integers(0, 9),
        rejected=st.integers(0, 9),
        duplicates=st.integers(0, 9),
    )
)
def test_run_that_cannot_show_the_conservation_law_fails(counts: Counts) -> None:
    batches = [batch(rows=counts.sent, person=counts.sent)] if counts.sent else []
    holds = counts.profiles_in_segment == counts.sent + counts.rejected + counts.duplicates
    assert (find_imbalance(counts, batches, all_cut=True) == "") == holds


def test_batches_that_hold_other_than_what_was_sent_fail_the_run() -> None:
    assert "hold 99" in find_imbalance(HUNDRED, [batch(rows=99, person=99)], all_cut=True)
    assert find_imbalance(HUNDRED, [batch(rows=99, person=99)], all_cut=False) == ""


def test_counters_are_added_up_over_all_batches() -> None:
    counts = add_up(
        HUNDRED,
        [batch(errors=1), batch(correctable=2, earlier=True), batch(unsubscribed=3)],
    )
    assert (counts.api_errors, counts.api_correctable, counts.cannot_add_to_list) == (1, 2, 3)
    assert counts.imported == 294


@pytest.mark.parametrize(
    ("counts", "batches", "stop", "words"),
    [
        (HUNDRED, [batch()], None, "Delivered 100 contacts to list “L” in 1 batch; 2 profiles re"),
        (Counts(), [], None, "Nothing to do: the segments have no members."),
        (HUNDRED, [batch(earlier=True)], None, "--again"),
        (HUNDRED, [batch(BatchState.FAILED)], None, "1 batch of 1 did not arrive (failed; 100"),
        (HUNDRED, [batch(BatchState.REFUSED)], None, "Constant Contact refused 1 batch of 1 (100"),
        (
            HUNDRED,
            [batch(), batch(BatchState.PROCESSING), batch(BatchState.NOT_SENT)],
            Stop("The 60-minute window has ended.", can_continue=True),
            "1 batch imported, 1 still being imported, 1 not sent. Run the same export again",
        ),
    ],
)
def test_outcome_is_told_in_one_line(
    counts: Counts, batches: list[BatchOutcome], stop: Stop | None, words: str
) -> None:
    status = decide_status(counts, batches, stop=stop)
    line = phrase_outcome(status, counts, batches, list_name="L", stop=stop)
    assert words in line
    assert "\n" not in line


@pytest.mark.parametrize(
    "stop",
    [
        Stop("Today's quota is used up; run again then.", can_continue=True),
        Stop("The API is away. Run it again when it answers.", can_continue=True),
        Stop("The token is refused; connect again."),
        Stop("Have the file written again.", is_refusal=True),
        Stop("List “Run against rust” has got newer ones.", is_refusal=True),
        Stop("The window has ended.", can_continue=True),
    ],
)
@pytest.mark.parametrize("batches", [[batch(), batch(BatchState.NOT_SENT)], []])
def test_line_says_once_that_running_again_goes_on(stop: Stop, batches: list[BatchOutcome]) -> None:
    line = phrase_outcome(Status.INCOMPLETE, HUNDRED, batches, list_name="L", stop=stop)
    said = re.findall(r"\brun (?:it |the same export )?again\b", line, re.IGNORECASE)
    assert len(said) == int(bool(batches) or stop.can_continue)


REPEAT_GOES_ON = {
    "nothing is cut": ([], "with --again"),
    "the delivery itself is in": ([batch(earlier=True)], "with --again"),
    "none is accepted": ([batch(BatchState.NOT_SENT)], "with --again"),
    "one is accepted": ([batch(), batch(BatchState.NOT_SENT)], "without --again"),
    "one is being imported": ([batch(BatchState.PROCESSING)], "without --again"),
    "one is still being imported": (
        [batch(earlier=True), batch(BatchState.PROCESSING, earlier=True)],
        "without --again",
    ),
}


@pytest.mark.parametrize(("batches", "option"), REPEAT_GOES_ON.values(), ids=REPEAT_GOES_ON.keys())
def test_interrupted_repeat_is_asked_for_until_a_batch_of_it_is_accepted(
    batches: list[BatchOutcome], option: str
) -> None:
    stop = Stop("The run was stopped.", can_continue=True)
    counts = Counts(profiles_in_segment=999, sent=999)
    line = phrase_outcome(
        Status.INCOMPLETE, counts, batches, list_name="L", stop=stop, is_repeat=True
    )
    assert f"to continue, {option} (in the form:" in line


def test_run_that_waited_for_an_earlier_run_s_import_did_have_something_to_do() -> None:
    batches = [batch(earlier=True)]
    assert decide_status(HUNDRED, batches, has_waited=False) is Status.NOTHING_TO_DO
    assert decide_status(HUNDRED, batches, has_waited=True) is Status.COMPLETED_WITH_REJECTS
