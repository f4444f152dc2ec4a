"""Change one saved export in its file, and leave every other line of the file as it is.

Each change is made twice. YAML is read with its comments and anchors, changed and written out;
of what comes out only the lines of the export in question are taken, of those only the ones that
say something new, and put into the text.
"""

import difflib
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from deployments.changes import DeploymentRefused
from deployments.export_lines import (
    add_lines,
    change_lines,
    entries_of,
    is_export,
    place_of,
    reads_as,
    with_ends_of,
    with_plain_ends,
    without_lines,
)
from deployments.export_yaml import copy_sharing, list_shared, parse, to_plain, to_yaml, write

NEW_FILE = """\
# yaml-language-server: $schema=https://raw.githubusercontent.com/PrefectHQ/prefect/main/schemas/prefect.yaml.schema.json
#
# Saved exports. Saving one runs nothing: it runs with its schedule, or when asked.
#
#   segment-export deploy                 (the work pool, what watches over runs, these exports)
#   prefect worker start --pool exports
name: segment-export

definitions: # Prefect ignores this key: a home for what the exports share
  work_pool: &exports
    name: exports
    work_queue_name: default
    job_variables:
      env:
        PREFECT_LOGGING_EXTRA_LOGGERS: segment_export
        # Runs that are silent for five times as long are taken for dead: keep it in every export.
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: "30"
  one_at_a_time: &one_at_a_time
    limit: 1
    collision_strategy: ENQUEUE

deployments:
"""


class ExportFile:
    """The text of a file of saved exports, and the changes to it that are not written yet."""

    def __init__(self, text: str) -> None:
        self.before = text
        self._text = with_plain_ends(text)
        parse(self._text)

    @property
    def text(self) -> str:
        """The text as it is to be written: its lines end as they did before."""
        return with_ends_of(self.before, self._text)

    def find(self, name: str, entrypoint: str = "") -> CommentedMap | None:
        """Find an export by its name; another flow's may have the same, with its entrypoint."""
        entries = entries_of(parse(self._text))
        return next((one for one in entries if is_export(one, name, entrypoint)), None)

    def entries(self) -> list[CommentedMap]:
        """List the entries of the file, whatever they deploy."""
        return list(entries_of(parse(self._text)))

    def save(self, entry: dict[str, Any], *, sharing: Sequence[str] = ()) -> None:
        """Put an export into the file, in the place of one of its name or at the end.

        Args:
            entry: the export as Prefect takes it.
            sharing: keys whose values are taken from what the file shares, where it has the same.
        """
        self._lay_out()
        document = parse(self._text)
        shared = list_shared(document)
        for key in sharing:
            entry[key] = next((one for one in shared if one == entry[key]), entry[key])
        new = to_yaml(entry)
        entries = document["deployments"]
        if entries is None:
            entries = document["deployments"] = CommentedSeq()
        place = place_of(entries, entry["name"], entry["entrypoint"])
        if place is None:
            entries.append(new)
        else:
            entries[place] = new
        self._take_over(
            document, len(entries) - 1 if place is None else place, is_new=place is None
        )

    def change(self, name: str, entrypoint: str, change: Callable[[CommentedMap], None]) -> None:
        """Change an export by a function that is given its keys and values."""
        self._lay_out()
        document = parse(self._text)
        entries = entries_of(document)
        place = place_of(entries, name, entrypoint)
        if place is None:
            return
        change(entries[place])
        self._take_over(document, place, is_new=False)

    def duplicate(self, name: str, entrypoint: str, new_name: str) -> None:
        """Put a copy of an export at the end of the file, under another name."""
        self._lay_out()
        document = parse(self._text)
        entries = entries_of(document)
        place = place_of(entries, name, entrypoint)
        if place is None:
            return
        twin = copy_sharing(entries[place])
        twin["name"] = new_name
        entries.append(twin)
        self._take_over(document, len(entries) - 1, is_new=True)

    def remove(self, name: str, entrypoint: str) -> None:
        """Take an export out of the file, with the comments right above it.

        Raises:
            DeploymentRefused: others refer to a part of it.
        """
        self._lay_out()
        entries = entries_of(parse(self._text))
        place = place_of(entries, name, entrypoint)
        if place is None:
            return
        kept = [to_plain(one) for one in entries if one is not entries[place]]
        found = (one for one in without_lines(self._text, place) if reads_as(one, kept))
        text = next(found, None)
        if text is None:
            raise DeploymentRefused(
                f"Other exports refer to a part of {name} (by its anchor, with `*`). Move that "
                "part below `definitions:` by hand, and run this again."
            )
        self._text = text

    def diff(self, file_name: str) -> str:
        """Show the changes as a unified diff; nothing when there is none."""
        return "".join(
            difflib.unified_diff(
                with_plain_ends(self.before).splitlines(keepends=True),
                self._text.splitlines(keepends=True),
                f"{file_name} (now)",
                f"{file_name} (then)",
            )
        )

    def _lay_out(self) -> None:
        """Have exports on lines of their own, as each change is one of lines."""
        document = parse(self._text)
        exports = document.get("deployments")
        is_list_of_lines = exports is None or (exports and not exports.fa.flow_style())
        if "deployments" in document and is_list_of_lines and not document.fa.flow_style():
            return
        document.fa.set_block_style()
        if exports:
            exports.fa.set_block_style()
        else:
            document["deployments"] = None
        self._text = write(document, self._text)

    def _take_over(self, document: CommentedMap, place: int, *, is_new: bool) -> None:
        """Take the lines of one export out of a changed document into the text."""
        wanted = [to_plain(one) for one in document["deployments"]]
        written = write(document, self._text)
        put_in = add_lines if is_new else change_lines
        found = put_in(self._text, written, place)
        # Where the layout is unusual: all of it as it is written out.
        self._text = next((text for text in found if reads_as(text, wanted)), written)


def open_file(file: Path, *, may_be_new: bool = False) -> ExportFile:
    """Read a file of saved exports, to change it.

    Raises:
        DeploymentRefused: it cannot be read, or is no such file.
    """
    try:
        return ExportFile(_read_text(file))
    except FileNotFoundError:
        if may_be_new:
            opened = ExportFile(NEW_FILE)
            opened.before = ""
            return opened
        raise DeploymentRefused(
            f"There is no {file.name} in {file.absolute().parent}. Run this in the folder that has "
            "it, or name it with --file."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DeploymentRefused(f"{file} cannot be read ({type(error).__name__}).") from error


def write_file(file: Path, text: str, *, before: str | None = None) -> None:
    """Put a text in the place of a file at once: no reader ever sees half of it.

    Args:
        file: which; a link stays one.
        text: what it is to hold.
        before: what it held when it was read; None where that is of no consequence.

    Raises:
        DeploymentRefused: the folder cannot be written, or somebody has changed the file.
    """
    if before is not None and _read_again(file) != before:
        raise DeploymentRefused(
            f"{file.name} was changed by somebody else meanwhile, and is left as it is. Run this "
            "again."
        )
    target = file.resolve()  # a link stays one
    temporary = ""
    try:
        with tempfile.NamedTemporaryFile(
            "w",
            encoding="utf-8",
            newline="",
            dir=target.parent,
            prefix=f".{target.name}.",
            delete=False,
        ) as output:
            temporary = output.name
            output.write(text)
            output.flush()
            os.fsync(output.fileno())
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
        Path(temporary).chmod(mode)
        Path(temporary).replace(target)
    except OSError as error:
        with suppress(OSError):
            Path(temporary).unlink(missing_ok=True)
        raise DeploymentRefused(
            f"{file} cannot be written ({type(error).__name__}); nothing was changed."
        ) from error


def _read_again(file: Path) -> str:
    """Read a file that may not be there yet."""
    try:
        return _read_text(file)
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise DeploymentRefused(f"{file} cannot be read ({type(error).__name__}).") from error


def _read_text(file: Path) -> str:
    """Read a file, its lines ending as they do there."""
    return file.read_bytes().decode()
