"""Small exports on disk, and what Python's own csv module reads from their batches."""

import csv
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline import ContactBatch, Prepared, prepare
from schemas.export import AttributeMapping, ExportRequest

MOST_BYTES = 3_999_000

Rows = pl.DataFrame | dict[str, Any]


class Workshop:
    """Write tables into a folder and prepare exports of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, rows: Rows) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pl.DataFrame(rows).write_parquet(path)
        return path

    def request(self, profiles: Rows | Path | str | None = None, **settings: Any) -> ExportRequest:
        if profiles is None:
            profiles = self.folder / "profiles.parquet"
        elif not isinstance(profiles, Path | str):
            profiles = self.write("profiles.parquet", profiles)
        attributes = tuple(
            AttributeMapping(column=column, heading=heading)
            for column, heading in settings.pop("attributes", {}).items()
        )
        chosen = {
            "connection": "test",
            "list_id": "1",
            "profiles": str(profiles),
            "segments": ("High",),
            "email": "EMail",
            "attributes": attributes,
        }
        return ExportRequest(**(chosen | settings))

    def prepare(
        self,
        profiles: Rows | Path | str | None = None,
        *,
        report_dir: Path | None = None,
        on_progress: Callable[[int, int], None] | None = None,
        **settings: Any,
    ) -> Prepared:
        return prepare(
            self.request(profiles, **settings),
            report_dir=report_dir,
            on_progress=on_progress,
        )

    def contacts(self, profiles: Rows | None = None, **settings: Any) -> list[dict[str, str]]:
        return read_contacts(self.prepare(profiles, **settings).iter_batches(MOST_BYTES))


def read_contacts(batches: Iterable[ContactBatch]) -> list[dict[str, str]]:
    """Read batches back as a stranger would: null and left-out columns are simply not there."""
    contacts = []
    for batch in batches:
        text = io.StringIO(batch.body.decode("utf-8"), newline="")
        parsed = list(csv.DictReader(text, strict=True))
        assert len(parsed) == batch.rows
        contacts.extend({key: value for key, value in row.items() if value} for row in parsed)
    return contacts


def all_in_high(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    count = len(next(iter(rows.values())))
    keys = {"CustomerId": [f"c{i:04}" for i in range(count)]}
    return keys | rows | {"Segments": [["High"]] * count}


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture(scope="session")
def new_workshop(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Workshop]:
    """Give a workshop of its own to each example of a property."""
    return lambda: Workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture(scope="session")
def read_back() -> Callable[[Iterable[ContactBatch]], list[dict[str, str]]]:
    return read_contacts


def read_rejects(folder: Path) -> dict[str, dict[str, Any]]:
    rows = pl.read_parquet(folder / "rejects.parquet")
    assert rows["customer_id"].n_unique() == rows.height
    return {row["customer_id"]: row for row in rows.to_dicts()}
