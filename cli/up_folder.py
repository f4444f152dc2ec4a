"""The folder of `segment-export up`: who uses it, which exports run, and the data they read."""

import fcntl
import json
import os
import re
import shutil
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import deployments
from cli.errors import CommandRefused
from cli.sample_profiles import write_profiles
from deployments.export_editing import open_file
from deployments.export_entry import is_export
from pipeline import ReportUnwritable
from pipeline.private_files import make_private_folder

EXPORT_FILE = "prefect.yaml"
EXAMPLE = "ad-hoc"
SAMPLE = "segment-export-demo/profiles.parquet"  # where the examples read it
SAMPLE_PROFILES = 100_000
LOCK_FILE = "up.lock"


@contextmanager
def only_one(folder: Path) -> Iterator[int]:
    """Hold the folder for this process, and give the file to say in where it answers.

    The kernel frees the lock when its holder dies.

    Raises:
        CommandRefused: another `up` holds it, or the folder cannot be used.
    """
    try:
        folder = make_private_folder(folder)
    except ReportUnwritable as error:
        raise CommandRefused(str(error)) from error
    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandRefused(_tell_who_holds(folder)) from None
        yield descriptor
    finally:
        os.close(descriptor)


def tell_place(descriptor: int, ui_url: str) -> None:
    """Write into a held lock file where the holder answers."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"process": os.getpid(), "ui": ui_url}).encode(), 0)


def _tell_who_holds(folder: Path) -> str:
    try:
        place = json.loads((folder / LOCK_FILE).read_text(encoding="utf-8"))
        where = f" (process {place['process']}); its UI is at {place['ui']}"
    except (OSError, ValueError, KeyError, TypeError):
        where = ""  # it has only just begun
    return (
        f"`segment-export up` already runs in {folder}{where}. Use that one, stop it with Ctrl-C "
        "where it was started, or choose another --folder."
    )


def find_exports(folder: Path) -> Path:
    """Give the file of saved exports: the one here, else the examples, put into the folder once."""
    here = Path.cwd() / EXPORT_FILE
    if here.is_file():
        return here
    file = folder / EXPORT_FILE
    if not file.exists():
        text = _examples().read_text(encoding="utf-8")
        # The flows are installed, and not below this folder.
        file.write_text(
            re.sub(r"entrypoint: flows/(\w+)\.py:(\w+)", r"entrypoint: flows.\1.\2", text),
            encoding="utf-8",
        )
    return file


def choose_example(file: Path) -> str:
    """Choose the export to begin with: the one for running when asked, else the first."""
    names = [one["name"] for one in open_file(file).entries() if is_export(one)]
    return EXAMPLE if EXAMPLE in names or not names else names[0]


def _examples() -> Path:
    beside = Path(deployments.__file__).parents[1] / EXPORT_FILE
    # pyproject.toml has it installed there; beside the code it is in the project's folder only.
    installed = Path(sysconfig.get_path("data")) / "share" / "segment-export" / EXPORT_FILE
    return beside if beside.is_file() else installed


def put_sample(file: Path) -> bool:
    """Make up the customers that the examples read, unless they are there or none reads them."""
    sample = file.parent / SAMPLE
    if sample.is_file() or SAMPLE not in file.read_text(encoding="utf-8"):
        return False
    make_private_folder(sample.parent)
    unfinished = sample.with_suffix(".unfinished")
    write_profiles(unfinished, SAMPLE_PROFILES)
    shutil.move(unfinished, sample)
    return True
