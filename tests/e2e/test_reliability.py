"""A seeded sample of the proofs that `make reliability` runs whole."""

import argparse
import json
import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.reliability.__main__ import Job, choose, kill_jobs, matrix_jobs, run_jobs
from tests.reliability.cases import Ending, Finding, list_spots
from tests.reliability.delivery import Attempt, account_running, new_delivery
from tests.reliability.faults import Spot
from tests.reliability.processes import Commands, Sample, commands_against, prefect_running
from tests.reliability.soak import Soak, run_soak
from tests.reliability.truth import find_differences, find_repeats, find_untruths

CASES, KILLS, EXPORTS, SEED = 8, 3, 2, 20

pytestmark = [
    pytest.mark.alone,
    pytest.mark.timeout(1200),  # on a machine that others use too
]


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    with prefect_running(tmp_path_factory.mktemp("reliability")) as server:
        yield commands_against(server)


@pytest.fixture(scope="module")
def spots(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> list[Spot]:
    return list_spots(commands, tmp_path_factory.mktemp("clean"))


@dataclass(frozen=True)
class Proofs:
    """What came of the samples."""

    matrix: list[Finding]
    kills: list[Finding]
    soak: Soak


@pytest.fixture(scope="module")
def proofs(
    commands: Commands, spots: list[Spot], tmp_path_factory: pytest.TempPathFactory
) -> Proofs:
    """Run all samples at once: most of their time they wait."""
    folder = tmp_path_factory.mktemp("proofs")

    def draw(jobs: dict[str, Job], sample: int) -> list[Job]:
        options = argparse.Namespace(
            minutes=math.inf, only="", brief=True, sample=sample, seed=SEED
        )
        return [*choose(jobs, options).values()]

    matrix = draw(matrix_jobs([commands], folder, spots), CASES)
    kills = draw(kill_jobs([commands], folder, spots), KILLS)
    with ThreadPoolExecutor() as pool:
        soak = pool.submit(
            run_soak,
            commands,
            folder,
            spots,
            exports=EXPORTS,
            seed=SEED,
            tell=lambda _finding: None,
        )
        answered = pool.submit(run_jobs, matrix, workers=2)
        killed = pool.submit(run_jobs, kills, workers=2)
        return Proofs(answered.result(), killed.result(), soak.result())


def troubles(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if not finding.is_good]


def test_export_asks_for_everything_that_the_proofs_disturb(spots: list[Spot]) -> None:
    asked = {f"{spot.operation} {spot.occurrence}" for spot in spots}
    assert asked >= {
        "token 1", "list 1", "custom_fields 1", "activities 1", "file_import 1", "file_import 2",
        "file_import 3", "activities 2",
    }  # fmt: skip


LIES = (
    (("counts", "imported"), 1_301),
    (("counts", "rejected"), 2),
    (("requests", "total"), 99),
    (("requests", "polls"), 99),
    (("status",), "incomplete"),
    (("batches", 0, "rows"), 1),
    (("batches", 0, "activity_id"), "another"),
    (("batches", 0, "already_accepted"), True),
    (("message",), ""),
)


def tell(attempt: Attempt, place: tuple[str | int, ...], lie: object) -> Attempt:
    document = json.loads(attempt.ended.out)
    part = document
    for step in place[:-1]:
        part = part[step]
    part[place[-1]] = lie
    return replace(attempt, ended=replace(attempt.ended, out=json.dumps(document)))


def test_proof_notices_what_is_lost_or_goes_twice_or_is_not_true(
    commands: Commands, tmp_path: Path
) -> None:
    with account_running() as box:
        delivery = new_delivery(commands, box, tmp_path)
        attempt = delivery.run()
        assert (find_untruths(delivery, attempt), find_differences(delivery)) == ([], [])
        for place, lie in LIES:
            assert find_untruths(delivery, tell(attempt, place, lie)), place
        leak = replace(attempt, ended=replace(attempt.ended, err=f"p0001@{delivery.domain}"))
        assert find_untruths(delivery, leak) == ["an e-mail address was printed"]
        assert find_repeats(delivery) == []

        delivery.run("--again")
        assert "2,600 contacts were accepted of 1,300" in find_repeats(delivery)
        box.remove_from_list(f"p0001@{delivery.domain}", delivery.list_id)
        assert find_differences(delivery) == ["1 of 1,300 contacts are missing"]


@pytest.mark.parametrize(
    ("last", "is_flat"),
    [(Sample(209, 0, 10), True), (Sample(211, 0, 10), False), (Sample(200, 0, 11), False)],
)
def test_growth_from_the_second_quarter_of_a_soak_to_the_last_is_noticed(
    last: Sample, is_flat: bool
) -> None:
    caches_fill, *middle = Sample(100, 0, 5), Sample(200, 0, 10), Sample(205, 0, 10)

    assert Soak([], [caches_fill, *middle, last]).is_flat is is_flat


def test_nothing_is_lost_or_goes_twice_whatever_is_answered(proofs: Proofs) -> None:
    assert troubles(proofs.matrix) == []
    assert len(proofs.matrix) == CASES


def test_nothing_is_lost_or_goes_twice_when_a_run_is_killed(proofs: Proofs) -> None:
    assert troubles(proofs.kills) == []
    endings = {finding.ending for finding in proofs.kills}
    assert endings <= {Ending.BY_RUNNING_AGAIN, Ending.WITH_A_PERSON}
    assert len(proofs.kills) == KILLS


def test_exports_in_a_row_in_one_process_all_arrive_and_leave_no_file_open(
    proofs: Proofs,
) -> None:
    assert troubles(proofs.soak.findings) == []
    assert len(proofs.soak.findings) == EXPORTS
    first, *_, last = proofs.soak.medians(lambda sample: sample.open_files)
    assert last <= first + 2
