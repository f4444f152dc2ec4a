"""Only words of ours leave the core: what libraries say may quote values of customers."""

import pickle
import traceback
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from pandera.errors import SchemaError
from pydantic import ValidationError

from pipeline import PipelineError, PreparationFailed, ReportUnwritable

MARKER = "ann@example.com"
ROWS = {
    "CustomerId": ["1", "2"],
    "EMail": ["a@x.com", "bad"],
    "Segments": [["High"]] * 2,
}
UNFORESEEN = [
    pl.exceptions.ComputeError(MARKER),
    pl.exceptions.PanicException(MARKER),
    pa.ArrowInvalid(MARKER),
    SchemaError(None, None, MARKER),  # type: ignore[arg-type] # any will do
    OSError(5, MARKER),
    AssertionError(MARKER),
]
IN_PREPARE = [
    "pipeline.preparation.open_table",
    "pipeline.preparation.find_membership",
    "pipeline.segments.key_text",
    "pipeline.tally.normalise_required",
    "pipeline.tally.find_breaches",
    "pipeline.tally.check_keys_unique",
]
IN_BATCHES = ["pipeline.batches.normalise_fields", "pipeline.batches._measure"]


def _fail_at(patch: pytest.MonkeyPatch, place: str, failure: BaseException) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    patch.setattr(place, fail)


def _memberships(workshop: Any) -> dict[str, str]:
    path = workshop.write("m.parquet", {"CustomerId": ["1", "2"], "SegmentName": ["High"] * 2})
    return {"memberships": str(path)}


def _check_silent(error: BaseException, failure: BaseException) -> None:
    assert MARKER not in str(error)
    assert MARKER not in "".join(traceback.format_exception(error))
    assert error.__cause__ is None
    assert error.__context__ is None
    assert type(failure).__name__ in str(error)
    assert "\n" not in str(error)
    assert "report it" in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 -- our own bytes


@pytest.mark.parametrize("place", IN_PREPARE)
@pytest.mark.parametrize("failure", UNFORESEEN, ids=lambda failure: type(failure).__name__)
def test_what_is_unforeseen_in_the_preparation_says_none_of_its_own_words(
    workshop: Any, monkeypatch: pytest.MonkeyPatch, place: str, failure: BaseException
) -> None:
    settings = _memberships(workshop)
    _fail_at(monkeypatch, place, failure)
    with pytest.raises(PreparationFailed, match=r"in pipeline/\w+\.py:\d+\.") as ended:
        workshop.prepare(ROWS, **settings)
    _check_silent(ended.value, failure)


@pytest.mark.parametrize("place", IN_BATCHES)
@pytest.mark.parametrize("failure", UNFORESEEN, ids=lambda failure: type(failure).__name__)
def test_what_is_unforeseen_in_a_batch_says_none_of_its_own_words(
    workshop: Any, monkeypatch: pytest.MonkeyPatch, place: str, failure: BaseException
) -> None:
    prepared = workshop.prepare(ROWS)
    _fail_at(monkeypatch, place, failure)
    with pytest.raises(PreparationFailed, match=r"in pipeline/\w+\.py:\d+\.") as ended:
        list(prepared.iter_batches(1000))
    _check_silent(ended.value, failure)


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), MemoryError(), PipelineError("ours")])
def test_interruption_lack_of_memory_and_our_own_errors_pass(
    workshop: Any, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    prepared = workshop.prepare(ROWS)
    _fail_at(monkeypatch, "pipeline.batches._measure", failure)
    with pytest.raises(type(failure)) as passed:
        list(prepared.iter_batches(1000))
    assert passed.value is failure
    _fail_at(monkeypatch, "pipeline.preparation.open_table", failure)
    with pytest.raises(type(failure)) as passed:
        workshop.prepare(ROWS)
    assert passed.value is failure


def test_a_full_disk_is_told_of_the_report_folder_even_where_closing_fails_too(
    workshop: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    close = pa.parquet.ParquetWriter.close

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def close_and_fail(writer: Any) -> None:
        close(writer)
        full()

    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_table", full)
    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.close", close_and_fail)
    with pytest.raises(ReportUnwritable, match=r"No space left"):
        workshop.prepare(ROWS, report_dir=tmp_path / "r")
    assert list((tmp_path / "r").iterdir()) == []


SECRETS = [
    "s3://KEY:MARKER@bucket/p.parquet",
    "s3://KEY:MAR/KER+@bucket/p.parquet",
    "s3://KEY:MARKER@bucket/{as_of}/p.parquet",
    "abfss://container:MARKER@account.dfs.core.windows.net/p.parquet",
    "abfs://:MARKER@account.dfs.core.windows.net/p.parquet",
    "https://account.blob.core.windows.net/c/p.parquet?sv=2024&sig=MARKER",
    "abfss://c@account.dfs.core.windows.net/p?client_secret=MARKER",
]


@pytest.mark.parametrize("option", ["profiles", "memberships"])
@pytest.mark.parametrize("url", SECRETS)
def test_a_url_with_a_secret_is_refused_without_quoting_it(
    workshop: Any, monkeypatch: pytest.MonkeyPatch, option: str, url: str
) -> None:
    _fail_at(monkeypatch, "pipeline.preparation.open_table", AssertionError("too late"))
    workshop.write("profiles.parquet", ROWS)
    with pytest.raises(ValidationError, match=rf"{option}\s.*into the environment") as refused:
        workshop.prepare(**{option: url})
    assert "MAR" not in str(refused.value)
    assert "KEY" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/p.parquet",
        "s3://minio:9000/bucket/a@b.parquet",
        "s3://bucket/day={as_of:%Y}/a@b.parquet",
        "abfss://container@account.dfs.core.windows.net/p.parquet",
        "/home/a:b@c/p.parquet",
        "s3://bucket/part-?.parquet",
    ],
)
def test_a_url_without_a_secret_is_opened(
    workshop: Any, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    _fail_at(monkeypatch, "pipeline.preparation.open_table", PipelineError("opened"))
    as_of = {"as_of": "2026-01-31"} if "as_of" in url else {}
    with pytest.raises(PipelineError, match=r"^opened$"):
        workshop.prepare(url, **as_of)
