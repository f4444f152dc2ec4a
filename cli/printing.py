"""Printing what others have named: names are no markup, and a line stays one line."""

import sys

from rich.console import Console
from rich.table import Table

_WIDER_THAN_ANY = 100_000  # columns


def say(line: str) -> None:
    """Print a line to standard error."""
    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    console.print(line, soft_wrap=True)


def print_table(table: Table) -> None:
    """Print a table to standard output; in a pipe, or into a file, each row is one line."""
    width = None if sys.stdout.isatty() else _WIDER_THAN_ANY
    Console(width=width, markup=False, emoji=False, highlight=False).print(table)
