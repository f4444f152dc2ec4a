"""Which saved exports go through a connection, where file and server do not agree."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from cli import connections
from deployments.export_editing import open_file, write_file
from deployments.export_entry import Saving, make_entry
from schemas.export import ExportRequest

ROOT = Path(__file__).parents[2]
NO_CLIENT: Any = None  # no server is asked


def make_file(folder: Path, **by_name: str) -> Path:
    file = folder / "prefect.yaml"
    opened = open_file(file, may_be_new=True)
    for name, connection in by_name.items():
        request = ExportRequest(
            connection=connection, list_id="l", profiles="p", segments=("Gold",), email="EMail"
        )
        opened.save(make_entry(Saving(name, request), ROOT))
    write_file(file, opened.text)
    return file


def deployed(connection: str, *by_schedule: str) -> Any:
    def parameters(one: str) -> Any:
        return {"request": {"connection": one}}

    schedules = [SimpleNamespace(parameters=parameters(one)) for one in by_schedule]
    return SimpleNamespace(parameters=parameters(connection), schedules=schedules)


def test_connection_is_taken_from_where_it_is_named_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = make_file(tmp_path, both="old", here="old", there="new", neither="new")
    on_server = {
        "both": deployed("old"),
        "here": deployed("new"),
        "there": deployed("old"),
        "at noon": deployed("new", "old", "old"),
        "neither": deployed("new"),
    }
    taken: list[Any] = []
    monkeypatch.setattr(connections, "detach_export", lambda _, export: taken.append(export))
    exports = connections._Exports(on_server, file)
    assert exports.naming("old") == ["at noon", "both", "here", "there"]
    exports.detach(NO_CLIENT, "old")
    requests = {
        one["name"]: one["parameters"]["request"]["connection"]
        for one in yaml.safe_load(file.read_text())["deployments"]
    }
    assert requests == {"both": "", "here": "", "there": "new", "neither": "new"}
    assert taken == [on_server[name] for name in ("both", "there", "at noon")]


def test_file_that_somebody_changes_meanwhile_is_left_as_it_is(tmp_path: Path) -> None:
    file = make_file(tmp_path, one="old")
    exports = connections._Exports({}, file)
    file.write_text(f"{file.read_text()}# changed\n")
    with pytest.raises(Exception, match="changed by somebody else"):
        exports.detach(NO_CLIENT, "old")
    assert file.read_text().endswith("# changed\n")
