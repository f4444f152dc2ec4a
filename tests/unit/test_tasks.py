"""The small decisions of the tasks, without Prefect's engine."""

import pickle
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pytest

import constant_contact as cc
from pipeline import (
    ConservationBroken,
    PreparationFailed,
    ReportUnwritable,
    SourceChanged,
    UnknownSegment,
)
from pipeline.private_files import make_private_folder
from schemas.export import ExportRequest
from schemas.outcome import BatchOutcome, BatchState, Counts, ExportOutcome, RequestCounts, Status
from tasks import errors as task_errors
from tasks.connection import connection_slug
from tasks.destination import phrase_unknown_field
from tasks.progress import percent_done
from tasks.report_folder import open_report_folder
from tasks.report_text import RunFacts, render_report
from tasks.session import Progress, Stage, new_session
from tasks.stops import ExportError, explain_stop

REQUEST = ExportRequest(
    connection="c", list_id="l", profiles="p", segments=("Gold",), email="EMail"
)


@pytest.mark.parametrize(
    ("error", "is_refusal", "can_continue"),
    [
        (UnknownSegment("x"), True, False),
        (SourceChanged("x"), True, False),
        (ConservationBroken("x"), False, False),
        (PreparationFailed("x"), False, False),
        (task_errors.UnknownConnection("x"), True, False),
        (task_errors.Defect("x"), False, False),
        (cc.ListNotFound("x"), True, False),
        (cc.NotAuthorised("x"), True, False),
        (cc.SignInExpired("x"), True, False),
        (cc.AccessDenied("x"), True, False),
        (cc.ApiUnreachable("x"), False, False),
        (cc.ServerFault("x"), False, False),
        (cc.OutcomeUnknown("x"), False, True),
        (cc.QuotaExceeded("x"), False, True),
        (cc.WindowClosed("x"), False, True),
    ],
)
def test_errors_refuse_fail_or_interrupt_a_run(
    error: ExportError, is_refusal: bool, can_continue: bool
) -> None:
    stop = explain_stop(error)
    assert (stop.is_refusal, stop.can_continue) == (is_refusal, can_continue)
    assert stop.reason == "x"


@pytest.mark.parametrize(
    ("error", "is_for_quota"),
    [
        (cc.QuotaExceeded("x"), True),
        (task_errors.QuotaTooSmall("x"), True),
        (cc.OutcomeUnknown("x", lacks_quota=True), True),
        (pickle.loads(pickle.dumps(cc.OutcomeUnknown("x", lacks_quota=True))), True),  # noqa: S301 -- our own
        (cc.OutcomeUnknown("x"), False),
        (cc.Throttled("x"), False),
    ],
)
def test_lack_of_quota_is_told_whichever_request_met_it(
    error: ExportError, is_for_quota: bool
) -> None:
    assert explain_stop(error).is_for_quota is is_for_quota


@pytest.mark.parametrize(
    "error",
    [task_errors.UnknownConnection("a message"), task_errors.UnknownCustomField("a message")],
    ids=lambda error: type(error).__name__,
)
def test_errors_survive_the_way_between_processes(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 -- our own, made a moment ago
    assert (type(copy), str(copy)) == (type(error), str(error))


@pytest.mark.parametrize(
    ("name", "slug"), [("ACME Retail", "acme-retail"), ("a_b.c", "a-b-c"), ("Ünï", "n")]
)
def test_connections_are_found_by_their_slug(name: str, slug: str) -> None:
    assert connection_slug(name) == slug


@pytest.mark.parametrize(
    ("existing", "hint"),
    [
        (["loyalty_tier", "income"], "Did you mean cf:loyalty_tier?"),
        (["Loyalty_Tier"], "Did you mean cf:Loyalty_Tier?"),
        (["income"], "It has: income."),
        ([], "create the field in Constant Contact first"),
        ([f"field{n:03}" for n in range(40)], "and 15 more"),
    ],
)
def test_unknown_custom_field_names_those_there_are(existing: list[str], hint: str) -> None:
    assert hint in phrase_unknown_field("loyalty_teir", existing)


def test_progress_of_all_stages_adds_up_to_a_hundred_percent() -> None:
    with new_session(REQUEST) as session:
        assert percent_done(session) == 0
        session.tell(Progress(Stage.PREPARE, 5, 10, "profiles"))
        assert percent_done(session) == 10
        for stage in Stage:
            session.tell(Progress(stage, 10, 10, "profiles"))
        assert percent_done(session) == 100


def test_report_holds_every_number_of_the_outcome() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    outcome = ExportOutcome(
        status=Status.FAILED,
        message="It failed.",
        delivery="0123456789ab",
        list_id="the-list",
        started_at=moment,
        finished_at=moment,
        counts=Counts(
            profiles_in_segment=1111,
            sent=222,
            rejected=33,
            duplicates=44,
            amended=55,
            imported=66,
            cannot_add_to_list=77,
            api_errors=88,
            api_correctable=99,
        ),
        reject_reasons={"email_invalid": 30, "email_missing": 3},
        amend_reasons={"city_too_long": 55},
        batches=(
            BatchOutcome(
                file_name="b.csv", rows=222, bytes=12345, activity_id="act", state=BatchState.FAILED
            ),
        ),
        requests=RequestCounts(total=10, uploads=1, polls=4, throttled=2, retried=3),
        notes=("Something to know.",),
    )
    report = render_report(outcome, RunFacts(list_name="L"))
    for text in (
        "# It failed.", "| in the segments | 1,111 |", "| sent | 222 |", "| rejected | 33 |",
        "| duplicates | 44 |", "| of those sent, amended | 55 |", "| `email_invalid` | 30 |",
        "| `city_too_long` | 55 |", "| imported | 66 |", "(unsubscribed) | 77 |",
        "| errors | 88 |", "| correctable errors | 99 |", "`b.csv` | 222 | 12,345 | failed | `act`",
        "| told to slow down | 2 |", "- Something to know.",
    ):  # fmt: skip
        assert text in report


def test_report_of_hundreds_of_batches_is_cut() -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    batches = tuple(
        BatchOutcome(file_name=f"{n}.csv", rows=1, bytes=1, state=BatchState.NOT_SENT)
        for n in range(300)
    )
    outcome = ExportOutcome(
        status=Status.INCOMPLETE, message="m", delivery="d", list_id="l", started_at=moment,
        finished_at=moment, counts=Counts(), batches=batches, requests=RequestCounts(),
    )  # fmt: skip
    assert "… and 50 more." in render_report(outcome, RunFacts(list_name="L"))


def test_report_folder_is_private_to_the_user(tmp_path: Path) -> None:
    folder = open_report_folder(
        REQUEST.model_copy(update={"report_dir": str(tmp_path / "new" / "report")})
    )
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("profiles", "report_dir", "is_refused"),
    [
        ("data", "data/report", True),
        ("data/**/*.parquet", "data/report", True),
        ("data/*", "data/report", True),
        ("data", "data", True),
        ("data", "data/_report", False),
        ("data/*.parquet", "data/report", False),
        ("data/p.parquet", "data", False),
        ("data/rejects.parquet", "data", True),
        ("data/am*.parquet", "data", True),
        ("file://{}/data", "data/report", True),
        ("~nobody-of-this-name/data", "data/report", False),
        ("data", "report", False),
        ("s3://data", "data/report", False),
    ],
)
def test_report_that_the_next_run_would_take_for_profiles_is_refused(
    tmp_path: Path, profiles: str, report_dir: str, is_refused: bool
) -> None:
    (tmp_path / "data").mkdir()
    is_path = "://" not in profiles and not profiles.startswith("~")
    location = str(tmp_path / profiles) if is_path else profiles.format(tmp_path)
    request = REQUEST.model_copy(
        update={"profiles": location, "report_dir": str(tmp_path / report_dir)}
    )
    expected = pytest.raises(ReportUnwritable, match="would take its files for profiles")
    with expected if is_refused else nullcontext():
        open_report_folder(request)
    assert (tmp_path / report_dir / "").is_dir() is (not is_refused or report_dir == "data")


def test_report_within_the_current_folder_is_fine_where_no_memberships_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = open_report_folder(REQUEST.model_copy(update={"report_dir": "report"}))
    assert folder == tmp_path / "report"


def test_report_folder_of_a_user_who_is_not_there_is_refused() -> None:
    with pytest.raises(ReportUnwritable, match="whom this machine does not know"):
        open_report_folder(REQUEST.model_copy(update={"report_dir": "~nobody-of-this-name/r"}))


def test_folder_that_others_use_is_refused_rather_than_closed_to_them(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    make_private_folder(folder)  # empty: ours to make private
    folder.chmod(0o755)
    (folder / "somebody's").touch()
    with pytest.raises(ReportUnwritable, match="chmod 700"):
        make_private_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o755
