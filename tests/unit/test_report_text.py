"""What the report tells beside the outcome: limits, the list's page, the run before."""

from datetime import UTC, datetime, timedelta

import pytest

from schemas.export import ExportRequest
from schemas.outcome import Counts, ExportOutcome, RequestCounts, Status
from tasks.history import PastRun, RunResult
from tasks.report_text import RunFacts, describe_source, list_page, render_report

MOMENT = datetime(2026, 1, 2, tzinfo=UTC)
OUTCOME = ExportOutcome(
    status=Status.COMPLETED, message="m", delivery="d", list_id="l", started_at=MOMENT,
    finished_at=MOMENT + timedelta(minutes=3), counts=Counts(), requests=RequestCounts(),
)  # fmt: skip
NOW = PastRun(
    ended="2026-01-02 00:03 UTC", result=RunResult.DELIVERED, sent=1200, rejected=3, duplicates=1,
    imported=1200, requests=12, seconds=180,
)  # fmt: skip


def test_report_tells_how_much_of_window_and_quota_is_used() -> None:
    facts = RunFacts(window_minutes=60, used_today=2_500, daily=10_000)
    assert (
        "Used: 3.0 of the window's 60 minutes (5%); 2,500 of today's 10,000 requests under this "
        "API key, by all exports (25%)."
    ) in render_report(OUTCOME, facts)


def test_report_says_nothing_of_a_quota_that_is_not_known() -> None:
    report = render_report(OUTCOME, RunFacts(window_minutes=60))
    assert "requests under this API key" not in report
    assert "of the window's 60 minutes" in report


def test_report_compares_a_run_with_the_one_before() -> None:
    before = NOW.model_copy(update={"sent": 1000, "seconds": 200, "result": RunResult.DEGRADED})
    report = render_report(OUTCOME, RunFacts(this_run=NOW, run_before=before))
    assert "## Compared with the run before" in report
    assert "It ended 2026-01-02 00:03 UTC: degraded." in report
    assert "| sent | 1,200 | 1,000 | +200 |" in report
    assert "| rejected | 3 | 3 | – |" in report
    assert "| seconds | 180 | 200 | -20 |" in report


def test_report_says_when_the_run_before_died() -> None:
    before = PastRun(ended="2026-01-01 00:00 UTC", result=RunResult.CRASHED)
    report = render_report(OUTCOME, RunFacts(this_run=NOW, run_before=before))
    assert "It ended 2026-01-01 00:00 UTC: crashed. It counted nothing." in report


def test_first_run_is_compared_with_nothing() -> None:
    assert "Compared" not in render_report(OUTCOME, RunFacts(this_run=NOW))


def test_report_tells_the_source_as_it_was_asked_for() -> None:
    request = ExportRequest(
        connection="c",
        list_id="l",
        profiles="data/{as_of:%Y-%m}/profiles.parquet",
        segments=("Gold",),
        email="EMail",
    )
    source = describe_source(request)
    assert request.profiles in source
    assert source in render_report(OUTCOME, RunFacts(source=source))


@pytest.mark.parametrize(
    ("api_url", "page"),
    [
        ("https://api.cc.email/v3", "https://app.constantcontact.com/pages/contacts/ui/lists/L"),
        ("http://127.0.0.1:8080/v3", ""),
        ("https://api.cc.email.example.com/v3", ""),
        ("", ""),
    ],
)
def test_only_the_real_service_has_a_page_of_the_list(api_url: str, page: str) -> None:
    assert list_page(api_url, "L") == page
    shown = f"[Open the list in Constant Contact]({page})"
    report = render_report(OUTCOME, RunFacts(list_url=list_page(api_url, "L")))
    assert (shown in report) is bool(page)
