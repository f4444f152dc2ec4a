"""What is known of a sign-in, and what that means for people."""

from datetime import UTC, datetime, timedelta

import pytest

from tasks.connection_upkeep import Health, judge_sign_in
from tasks.sign_in_record import SignInRecord

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


def days_ago(days: float) -> str:
    return (NOW - timedelta(days=days)).isoformat()


@pytest.mark.parametrize(
    ("record", "health"),
    [
        (SignInRecord(), Health.UNKNOWN),
        (SignInRecord(renewed_at="quokka"), Health.UNKNOWN),
        (SignInRecord(renewed_at=days_ago(1)), Health.SIGNED_IN),
        (SignInRecord(renewed_at=days_ago(149.9)), Health.SIGNED_IN),
        (SignInRecord(renewed_at=days_ago(150)), Health.LAPSES_SOON),
        (SignInRecord(renewed_at=days_ago(179.9)), Health.LAPSES_SOON),
        (SignInRecord(renewed_at=days_ago(180)), Health.LAPSED),
        (SignInRecord(renewed_at=days_ago(1), begun_at=days_ago(0.5)), Health.CUT_OFF),
        (SignInRecord(renewed_at=days_ago(1), refused_at=days_ago(0)), Health.REFUSED),
    ],
)
def test_sign_in_is_judged_by_its_dates(record: SignInRecord, health: Health) -> None:
    assert judge_sign_in(record, NOW) is health


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (SignInRecord(renewed_at=days_ago(190)), "has lapsed: it was not used for 190 days"),
        (
            SignInRecord(renewed_at=days_ago(1), begun_at="2026-07-01T11:00:00", begun_by="w1"),
            "the renewal that began at 2026-07-01T11:00:00 (w1) was cut off before its answer",
        ),
        (SignInRecord(renewed_at=days_ago(1)), "revoked, or its token was used by another program"),
        (SignInRecord(), "revoked, or its token was used by another program"),
    ],
)
def test_refusal_is_explained_by_what_went_before(record: SignInRecord, reason: str) -> None:
    assert reason in record.explain_refusal(NOW)
    assert "connect again" in record.explain_refusal(NOW)


def test_first_renewal_that_was_cut_off_stays_noted() -> None:
    first = SignInRecord(renewed_at=days_ago(9)).begin(NOW)
    later = first.begin(NOW + timedelta(hours=1))
    assert first.begun_at == NOW.isoformat()
    assert "process" in first.begun_by
    assert later == first


@pytest.mark.parametrize("stored", [None, "text", 5, {}, {"renewed_at": None, "more": 1}])
def test_variable_that_somebody_changed_is_no_record(stored: object) -> None:
    assert SignInRecord.read(stored) == SignInRecord()
