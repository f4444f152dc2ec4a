"""How to call our commands from where a person stands."""

import shutil
import sys
from pathlib import Path


def command_path(name: str) -> str:
    """Give a command's name where it is on PATH, else its path from the current folder."""
    if shutil.which(name):
        return name
    path = Path(sys.executable).parent / name
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
