"""Many exports in a row in one process, each with trouble drawn by a seed."""

import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.reliability.cases import Finding, conclude
from tests.reliability.delivery import account_running, new_delivery
from tests.reliability.faults import Phase, Spot, draw_case, list_cases
from tests.reliability.processes import Commands, LongCommands, Sample

EXPORTS_PER_ACCOUNT = 25  # then a fresh sandbox: what it holds is not what is measured
MOST_TROUBLES = 3
MOST_GROWTH = 1.05  # a twentieth, from the second quarter of the runs to the last


@dataclass(frozen=True, slots=True)
class Soak:
    """What came of a soak: a finding for each export, a sample for each run."""

    findings: list[Finding]
    samples: list[Sample]

    @property
    def is_flat(self) -> bool:
        """Whether neither memory nor open files grow once the first quarter has filled caches."""
        values = (lambda sample: sample.memory_kib, lambda sample: sample.open_files)
        return all(
            quarters[-1] <= MOST_GROWTH * quarters[1] for quarters in map(self.medians, values)
        )

    def medians(self, value: Callable[[Sample], int]) -> list[float]:
        """Return the median of a value in each quarter of the runs."""
        quarter = max(1, len(self.samples) // 4)
        quarters = [self.samples[at * quarter :][:quarter] for at in range(3)]
        quarters.append(self.samples[-quarter:])
        return [float(statistics.median(map(value, one))) for one in quarters if one]


def run_soak(
    commands: Commands,
    folder: Path,
    spots: Sequence[Spot],
    *,
    exports: int,
    seed: int,
    tell: Callable[[Finding], None],
) -> Soak:
    """Deliver so often in one process, whatever happens."""
    chance = random.Random(seed)  # noqa: S311 -- trouble that can be had again, no secret
    cases = list_cases([spot for spot in spots if spot.phase is Phase.FIRST])
    process = LongCommands(commands.env)
    findings: list[Finding] = []
    try:
        while len(findings) < exports:
            with account_running() as box:
                for _ in range(min(EXPORTS_PER_ACCOUNT, exports - len(findings))):
                    delivery = new_delivery(commands, box, folder, process.run)
                    drawn = [
                        draw_case(chance, cases) for _ in range(chance.randint(1, MOST_TROUBLES))
                    ]
                    box.script(*(fault for case in drawn for fault in case.faults))
                    delivery.run()
                    box.clear_script()
                    finding = conclude(delivery, drawn, was_reached=True)
                    findings.append(finding)
                    tell(finding)
    finally:
        process.close()
    return Soak(findings, process.samples)
