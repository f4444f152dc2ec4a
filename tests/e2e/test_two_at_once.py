"""Several runs at once, in processes of their own, on one API key."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl

from tests.conftest import World


def write_profiles(folder: Path, who: str) -> Path:
    path = folder / f"{who}.parquet"
    pl.DataFrame(
        {
            "CustomerId": [f"c{n}" for n in range(100)],
            "EMail": [f"{who}{n}@example.com" for n in range(100)],
            "Segments": [["Gold"]] * 100,
        }
    ).write_parquet(path)
    return path


def options(profiles: Path) -> tuple[str | Path, ...]:
    return (
        "--profiles", profiles, "--segments-column", "Segments", "--segment", "Gold",
        "--email", "EMail",
    )  # fmt: skip


def test_runs_on_one_key_are_never_told_to_slow_down(world: World, tmp_path: Path) -> None:
    lists = [world.box.add_list(f"{world.list_id} {n}") for n in range(3)]
    profiles = [write_profiles(tmp_path, f"p{n}-{world.list_id[:8]}-") for n in range(3)]
    with ThreadPoolExecutor(3) as pool:
        runs = [
            pool.submit(world.export, *options(path), list_id=list_id)
            for path, list_id in zip(profiles, lists, strict=True)
        ]
    done = [run.result() for run in runs]
    assert [one.code for one in done] == [0, 0, 0], [one.err for one in done]
    assert [one.document["requests"]["throttled"] for one in done] == [0, 0, 0]
    assert 429 not in {request.status for request in world.box.state.requests()}
    assert [len(world.box.state.members(list_id)) for list_id in lists] == [100] * 3


def test_two_runs_of_one_delivery_do_not_race(world: World, tmp_path: Path) -> None:
    profiles = write_profiles(tmp_path, f"same-{world.list_id[:8]}-")
    uploads = len(world.box.state.requests("file_import"))
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(world.export, *options(profiles)) for _ in range(2)]
    done = [run.result() for run in runs]
    assert [one.code for one in done] == [0, 0], [one.err for one in done]
    assert sorted(one.document["status"] for one in done) == ["completed", "nothing_to_do"]
    assert len(world.box.state.requests("file_import")) == uploads + 1
    assert len(world.members()) == 100
