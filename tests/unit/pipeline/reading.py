"""What the tests of reading tables share."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline import SourceUnreadable
from pipeline.source import open_table

ROWS = {"CustomerId": ["1", "2", "3"], "EMail": ["a@x.com", "b@x.com", "c@x.com"]}


def read(location: str | Path, *columns: str) -> list[dict[str, Any]]:
    """Read columns of a table, both ways in which it is read."""
    table = open_table(str(location))
    slices = pl.concat([frame for _, frame in table.iter_slices(columns)])
    assert table.query(lambda every: every, columns).equals(slices)
    assert slices.schema == {one: table.column_type(one, "test") for one in columns}
    return slices.to_dicts()


def refusal(location: str | Path) -> str:
    with pytest.raises(SourceUnreadable) as refused:
        open_table(str(location))
    assert "\n" not in str(refused.value)
    return str(refused.value)
