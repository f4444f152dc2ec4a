"""The small parts of the command line."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest

from cli.errors import CommandRefused
from cli.prefect_api import QUIET_PREFECT, isolate_prefect
from cli.progress import plain_lines
from cli.request import build_request
from cli.sample_profiles import build_profiles
from constant_contact import ApiEvent, EventKind
from tasks.session import Progress, Stage

OPTIONS: dict[str, Any] = {
    "connection": "c", "list_id": "l", "profiles": "p", "segments": ["Gold"], "email": "EMail",
}  # fmt: skip


def test_attributes_are_split_at_the_last_equals_sign() -> None:
    request = build_request(attributes=["a=b=city"], **OPTIONS)
    assert [(a.column, a.heading) for a in request.attributes] == [("a=b", "city")]


@pytest.mark.parametrize("attribute", ["City", "=city", "City=", ""])
def test_attribute_of_another_form_is_refused(attribute: str) -> None:
    with pytest.raises(CommandRefused, match="COLUMN=HEADING"):
        build_request(attributes=[attribute], **OPTIONS)


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"segments": []}, "--segment:"),
        ({"email": ""}, "--email:"),
        ({"as_of": "2026-13-01"}, r"^--as-of: give a date \(YYYY-MM-DD\), today or yesterday\.$"),
        ({"as_of": "tomorrow"}, "^--as-of: give a date"),
        ({"as_of": "20260131"}, "^--as-of: give a date"),
        ({"window_minutes": 0}, "--window-minutes:"),
        ({"max_profiles": 0}, "--max-profiles:"),
    ],
)
def test_senseless_option_is_named(changes: dict[str, Any], option: str) -> None:
    with pytest.raises(CommandRefused, match=option):
        build_request(attributes=[], **{**OPTIONS, **changes})


def test_plain_lines_tell_beginning_and_end_of_a_stage_and_now_and_then_in_between() -> None:
    lines: list[str] = []
    now_s = 0.0
    watcher = plain_lines(lines.append, lambda: now_s)
    for second in range(12):
        now_s = float(second)
        watcher.on_progress(Progress(Stage.UPLOAD, second * 100, 1100, "contacts"))
    watcher.on_progress(Progress(Stage.UPLOAD, 1100, 1100, "contacts"))
    assert lines == [
        "Uploading batches: 0 of 1,100 contacts",
        "Uploading batches: 500 of 1,100 contacts",
        "Uploading batches: 1,000 of 1,100 contacts",
        "Uploading batches: 1,100 of 1,100 contacts",
    ]


@pytest.mark.parametrize("kind", EventKind)
def test_every_event_of_the_client_has_words_or_is_silent_on_purpose(kind: EventKind) -> None:
    lines: list[str] = []
    plain_lines(lines.append, time.monotonic).on_event(ApiEvent(kind, "GET /v3/x", reason="Y"))
    assert len(lines) == (0 if kind is EventKind.REFRESH else 1)


def test_sample_profiles_are_the_same_each_time_and_hold_every_kind_of_flaw() -> None:
    profiles = build_profiles(2000).collect()
    assert profiles.equals(build_profiles(2000).collect())
    assert profiles.width == 12
    assert profiles["CustomerId"].is_unique().all()
    assert profiles["EMail"].null_count() == 20
    assert profiles.filter(~pl.col("EMail").str.contains("@")).height == 20
    assert profiles.filter(pl.col("FirstName").str.len_chars() > 50).height == 4


def test_trying_it_out_touches_no_prefect_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = (
        "PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_PROFILE", "PREFECT_HOME", "PREFECT_UI_URL",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_SERVER_DATABASE_HOST",
        "PREFECT_SERVER_API_AUTH_STRING",
    )  # fmt: skip
    for name in {*named, *(name for name in os.environ if name.startswith("PREFECT_"))}:
        monkeypatch.setenv(name, "production")  # and so all of it is put back
    isolate_prefect(tmp_path / "here")
    left = {name: value for name, value in os.environ.items() if name.startswith("PREFECT_")}
    assert {name for name, value in left.items() if value == "production"} <= QUIET_PREFECT.keys()
    home = tmp_path / "here" / "prefect"
    assert left["PREFECT_HOME"] == str(home)
    database = left["PREFECT_SERVER_DATABASE_CONNECTION_URL"]
    assert database == f"sqlite+aiosqlite:///{home}/prefect.db"


def test_folder_that_cannot_be_made_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.setenv(name, os.environ[name])  # and so all of it is put back
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "inside"):
        with pytest.raises(CommandRefused, match="choose another with --folder"):
            isolate_prefect(folder)


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM], ids=lambda s: s.name)
def test_embedded_prefect_ends_with_its_parent_however_that_ends(
    tmp_path: Path, ending: signal.Signals
) -> None:
    program = (
        "import time\n"
        "from cli.embedded import EmbeddedPrefect\n"
        "with EmbeddedPrefect() as embedded:\n"
        "    print(embedded.server_pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PREFECT_HOME": str(tmp_path)},
    ) as parent:
        assert parent.stdout is not None
        server = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(ending)
        parent.wait(timeout=60)
        server.wait(timeout=30)
    assert not server.is_running()
