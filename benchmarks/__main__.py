"""`make bench`, or `python -m benchmarks NAME …`: measure, and print Markdown tables."""

import argparse
import platform
import sys
import tempfile
from pathlib import Path

from benchmarks.export import compare_export
from benchmarks.measuring import keep_bytecode
from benchmarks.prepare import compare_memory, compare_preparation
from benchmarks.together import compare_together

NAMES = ("prepare", "memory", "export", "together")


def main() -> int:
    """Run the benchmarks asked for, all of them unless one is named."""
    asked = _parse()
    if platform.system() != "Linux":
        print("Peak memory is read from /proc: run this on Linux.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        keep_bytecode(folder / "bytecode")
        for name in asked.names or NAMES:
            print(f"\n### {name}\n\n{_measure(name, folder, asked)}", flush=True)
    return 0


def _measure(name: str, folder: Path, asked: argparse.Namespace) -> str:
    if name == "prepare":
        return compare_preparation(folder, asked.rows, asked.rounds)
    if name == "memory":
        return compare_memory(folder, asked.rows)
    if name == "together":
        return compare_together(folder, asked.rows)
    return compare_export(folder, asked.rows, asked.deliveries, asked.prefect_api_url)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; or all")
    parser.add_argument("--rows", type=int, default=1_000_000, help="customers to make up")
    parser.add_argument("--rounds", type=int, default=7, help="of prepare; medians are printed")
    parser.add_argument("--deliveries", type=int, default=1, help="rounds of export")
    parser.add_argument(
        "--prefect-api-url", default="", help="a running Prefect API for export; else embedded"
    )
    parser.add_argument("--folder", type=Path, help="keep the made-up customers here, to use again")
    asked = parser.parse_args()
    unknown = set(asked.names) - set(NAMES)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(NAMES)}")
    return asked


if __name__ == "__main__":
    sys.exit(main())
