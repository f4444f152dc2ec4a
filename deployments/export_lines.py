"""The lines of saved exports in the text of their file: found, put in, changed, left out.

A text may end its lines in any way; what is put into it has plain ends.
"""

import difflib
import io
from collections.abc import Iterator
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from deployments.changes import DeploymentRefused
from deployments.export_comments import (
    carry_over,
    indent_of,
    is_aside,
    is_comment,
    without_own_comments,
)
from deployments.export_yaml import parse, to_plain


def with_plain_ends(text: str) -> str:
    """End every line of a text with a line feed."""
    return io.StringIO(text, newline=None).read()


def with_ends_of(before: str, text: str) -> str:
    """End the lines of a text as those of before do; new ones as most of them do."""
    if "\r" not in before:
        return text
    old = before.splitlines(keepends=True)
    most = "\r\n" if before.count("\r\n") * 2 > before.count("\n") else "\n"
    new = text.splitlines(keepends=True)
    lines = [line.replace("\n", most) for line in new]
    plain = [with_plain_ends(line) for line in old]
    same = difflib.SequenceMatcher(None, plain, new, autojunk=False)
    for begin, at, count in same.get_matching_blocks():
        lines[at : at + count] = old[begin : begin + count]
    return "".join(lines)


def add_lines(text: str, written: str, place: int) -> Iterator[str]:
    """Put an export that is written out at the end of a text."""
    begin, end = _lines_of(written, place)
    lines = written.splitlines(keepends=True)[begin:end]
    old = _with_last_end(text).splitlines(keepends=True)
    at = _end_of_exports(text, old)
    is_apart = at == 0 or not old[at - 1].strip() or old[at - 1].startswith("deployments:")
    yield "".join([*old[:at], *([] if is_apart else ["\n"]), *lines, *old[at:]])


def change_lines(text: str, written: str, place: int) -> Iterator[str]:
    """Put an export that is written out into a text: the way that keeps most of it first."""
    old, new = (range(*_lines_of(one, place)) for one in (text, written))
    carried = "".join(carry_over(_with_last_end(text), written, place, (old, new)))
    if carried:
        yield _replaced(text, old, carried)
    yield _replaced(text, old, "".join(written.splitlines(keepends=True)[new.start : new.stop]))
    if carried:
        yield _replaced(written, new, carried)


def _replaced(text: str, lines: range, by: str) -> str:
    old = _with_last_end(text).splitlines(keepends=True)
    return "".join([*old[: lines.start], by, *old[lines.stop :]])


def _with_last_end(text: str) -> str:
    return text if text.endswith("\n") or not text else f"{text}\n"


def without_lines(text: str, place: int) -> Iterator[str]:
    """Leave an export out, with its comments and the empty line that set it apart.

    That line may belong to a value of the export before it, and is left where it is then.
    """
    lines = text.splitlines(keepends=True)
    begin, end = _lines_of(text, place)
    column = indent_of(lines[begin])
    while end < len(lines) and is_comment(lines[end]) and indent_of(lines[end]) > column:
        end += 1  # comments at the end of it
    above = without_own_comments(lines[:begin], column)
    is_apart = max((at + 1 for at, line in enumerate(above) if line.strip()), default=0)
    yield "".join(above[:is_apart] + lines[end:])
    yield "".join(above + lines[end:])


def reads_as(text: str, wanted: list[Any]) -> bool:
    """Say whether a text has just these exports."""
    try:
        return [to_plain(one) for one in entries_of(parse(text))] == wanted
    except DeploymentRefused:
        return False


def entries_of(document: CommentedMap) -> CommentedSeq:
    """Give the exports of a document that has been read; none where it has none."""
    return document.get("deployments") or CommentedSeq()


def is_export(entry: CommentedMap, name: str, entrypoint: str) -> bool:
    """Say whether an entry has this name, and this entrypoint where one is given."""
    return entry.get("name") == name and entrypoint in {"", entry.get("entrypoint")}


def place_of(entries: CommentedSeq, name: str, entrypoint: str) -> int | None:
    """Give the place of an export in a list, from 0; None when it is not there."""
    return next((at for at, one in enumerate(entries) if is_export(one, name, entrypoint)), None)


def _lines_of(text: str, place: int) -> tuple[int, int]:
    """Give the lines of an export: from its dash to its last one that is no comment."""
    entries = entries_of(parse(text))
    lines = text.splitlines(keepends=True)
    begin = _dash_above(lines, entries[place].lc.line)
    if place + 1 < len(entries):
        end = _dash_above(lines, entries[place + 1].lc.line)
        while end > begin + 1 and is_aside(lines[end - 1]):
            end -= 1  # comments before the next one are the next one's
    else:
        end = _end_of_exports(text, lines)
    return begin, end


def _dash_above(lines: list[str], first_key: int) -> int:
    """Give the line of an item's dash, which may stand alone above its first key."""
    return next(at for at in range(first_key, -1, -1) if lines[at].lstrip().startswith("-"))


def _end_of_exports(text: str, lines: list[str]) -> int:
    """Give the line after the last export: what follows is another key, or comments."""
    document = parse(text)
    begin = document.lc.key("deployments")[0]
    following = [document.lc.key(key)[0] for key in document if document.lc.key(key)[0] > begin]
    end = min(following, default=len(lines))
    while end > begin + 1 and is_aside(lines[end - 1]):
        end -= 1
    return end
