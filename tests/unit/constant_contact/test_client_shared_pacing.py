"""Processes that share an API key keep the pace together."""

import subprocess
import sys
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from constant_contact import MachinePacer

pytestmark = pytest.mark.anyio

PROGRAM = """
import asyncio, sys, time
from pathlib import Path
from constant_contact import MachinePacer

async def work():
    pacer = MachinePacer(Path(sys.argv[1]), interval_s=float(sys.argv[2]))
    async def one():
        await pacer.acquire()
        print(time.monotonic(), flush=True)
    await asyncio.gather(*(one() for _ in range(int(sys.argv[3]))))

asyncio.run(work())
"""


def test_processes_together_start_no_faster_than_the_interval(tmp_path: Path) -> None:
    interval_s, starts_each = 0.0275, 20
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, tmp_path / "pace", str(interval_s), str(starts_each)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    starts = sorted(
        float(line) for process in processes for line in process.communicate()[0].splitlines()
    )
    assert len(starts) == 3 * starts_each
    assert starts[-1] - starts[0] >= (len(starts) - 1) * interval_s - 0.05


async def test_moments_are_reserved_one_after_the_other(tmp_path: Path) -> None:
    now = 100.0
    starts: list[float] = []

    async def sleep(wait_s: float) -> None:
        nonlocal now
        now += wait_s

    pacers = [MachinePacer(tmp_path / "pace", clock=lambda: now, sleep=sleep) for _ in range(2)]
    for turn in range(8):
        await pacers[turn % 2].acquire()
        starts.append(now)
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert gaps == pytest.approx([0.275] * 7)


async def test_whoever_wakes_too_late_takes_another_moment(tmp_path: Path) -> None:
    now = 100.0
    late_s = iter([0.3, 0.0, 0.0])

    async def sleep(wait_s: float) -> None:
        nonlocal now
        now += wait_s + next(late_s)

    def clock() -> float:
        return now

    busy = MachinePacer(tmp_path / "pace", clock=clock, sleep=sleep)
    await busy.acquire()
    await busy.acquire()  # its moment, 100.275, has gone by when it wakes at 100.575
    assert now == pytest.approx(100.575)
    await busy.acquire()
    assert now == pytest.approx(100.975)  # at a wider distance, as the machine is busy


@pytest.mark.parametrize(("before_s", "after_s"), [(1e6, 5.0), (500.0, 30.0)])
async def test_moment_left_over_from_before_a_restart_does_not_block(
    tmp_path: Path, before_s: float, after_s: float
) -> None:
    async def sleep(wait_s: float) -> None:
        raise AssertionError(f"waits {wait_s} s")

    old = MachinePacer(tmp_path / "pace", clock=lambda: before_s, sleep=sleep)
    await old.acquire()
    fresh = MachinePacer(tmp_path / "pace", clock=lambda: after_s, sleep=sleep)
    await fresh.acquire()


async def test_damaged_file_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "pace").write_bytes(b"abc")
    await MachinePacer(tmp_path / "pace").acquire()
    assert MachinePacer(tmp_path / "pace").used_today() == 1


async def test_requests_of_a_day_are_counted_over_all_processes(tmp_path: Path) -> None:
    day = date(2026, 3, 1)
    pacers = [
        MachinePacer(tmp_path / "pace", interval_s=0.001, today=lambda: day) for _ in range(2)
    ]
    for turn in range(7):
        await pacers[turn % 2].acquire()
    assert [pacer.used_today() for pacer in pacers] == [7, 7]


async def test_count_begins_anew_at_midnight(tmp_path: Path) -> None:
    day = date(2026, 3, 1)
    pacer = MachinePacer(tmp_path / "pace", interval_s=0.001, today=lambda: day)
    await pacer.acquire()
    await pacer.acquire()
    day = date(2026, 3, 2)
    assert pacer.used_today() == 0
    await pacer.acquire()
    assert pacer.used_today() == 1


async def test_request_that_takes_another_moment_counts_once(tmp_path: Path) -> None:
    now = 100.0
    late_s = iter([0.3, 0.3, 0.0])

    async def sleep(wait_s: float) -> None:
        nonlocal now
        now += wait_s + next(late_s, 0.0)

    pacer = MachinePacer(tmp_path / "pace", clock=lambda: now, sleep=sleep)
    await pacer.acquire()
    await pacer.acquire()
    assert pacer.used_today() == 2


async def test_next_request_waits_as_long_as_the_one_before_it_asked(tmp_path: Path) -> None:
    now = 100.0

    async def sleep(wait_s: float) -> None:
        nonlocal now
        now += wait_s

    slow, quick = (
        MachinePacer(tmp_path / "pace", clock=lambda: now, sleep=sleep) for _ in range(2)
    )
    await slow.acquire(interval_s=1.1)
    await quick.acquire()
    assert now == pytest.approx(101.1)
    await slow.acquire(interval_s=1.1)
    assert now == pytest.approx(101.375)


async def test_distance_is_wider_for_a_while_where_sleepers_wake_late(tmp_path: Path) -> None:
    now, lateness_s = 0.0, 0.03

    async def oversleep(wait_s: float) -> None:
        nonlocal now
        now += wait_s + lateness_s

    late, other = (
        MachinePacer(tmp_path / "pace", clock=lambda: now, sleep=oversleep) for _ in range(2)
    )

    async def measure_distance() -> float:
        await other.acquire()
        began = now
        await other.acquire()
        return now - began

    assert await measure_distance() == pytest.approx(0.275 + 0.03)
    await late.acquire()
    lateness_s = 0.0
    assert await measure_distance() == pytest.approx(0.4)  # though it wakes in time itself
    now += 60.0
    assert await measure_distance() == pytest.approx(0.275)
