"""The comments of saved exports: what a change of one leaves where it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from yaml import CollectionNode, MappingNode, SafeLoader, compose, scan
from yaml import YAMLError as PlainYAMLError


def carry_over(old: str, new: str, place: int, lines: tuple[range, range]) -> list[str]:
    """Give the lines of a changed export: those of before, where they still mean what they did.

    A part that has not changed keeps its lines as they are, with all that is between them. One
    that has is written anew, and keeps the comments above and beside it.

    Args:
        old: the text before.
        new: the changed document, as it is written out.
        place: which export it is.
        lines: those of the export in either text, from its dash on.

    Returns: none at all where the texts are laid out too unusually to be compared.
    """
    try:
        before, after = (
            _Part.of_export(text, place, of) for text, of in zip((old, new), lines, strict=True)
        )
        return _carry(before, after)
    except (PlainYAMLError, LookupError, RecursionError):
        return []


def is_comment(line: str) -> bool:
    """Say whether a line holds a comment only."""
    return line.lstrip().startswith("#")


def is_aside(line: str) -> bool:
    """Say whether a line means nothing to YAML: a comment, or an empty one."""
    return not line.strip() or is_comment(line)


def indent_of(line: str) -> int:
    """Say at which column a line begins."""
    return len(line) - len(line.lstrip(" "))


def without_own_comments(asides: Sequence[str], column: int) -> list[str]:
    """Take off the comments right above something that begins at a column.

    What an empty line sets apart is not its own, nor what is indented as the parts before it are.
    """
    left = list(asides)
    while left and is_comment(left[-1]) and indent_of(left[-1]) <= column:
        left.pop()
    return left


class _Text:
    """The lines of a text, and where on each of them its last word ends."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines(keepends=True)
        self._ends: dict[int, int] = {}
        for token in scan(text, Loader=SafeLoader):
            end = token.end_mark
            self._ends[end.line] = max(end.column, self._ends.get(end.line, 0))

    def split(self, at: int) -> tuple[str, str]:
        """Cut a line into what it says and the comment beside that."""
        line = self.lines[at].rstrip("\n")
        end = self._ends.get(at, len(line))
        is_beside = line[end:].lstrip().startswith("#")
        return (line[:end], line[end:]) if is_beside else (line, "")


@dataclass(frozen=True, slots=True)
class _Part:
    """A key with its value, or an item of a list, and the lines that it takes up in a text."""

    text: _Text
    key: str | int
    column: int
    above: int  # the first of the comments above it
    begin: int
    end: int
    node: Any

    @classmethod
    def of_export(cls, text: str, place: int, lines: range) -> "_Part":
        """Find an export in a text.

        Raises:
            LookupError: it is laid out unusually.
        """
        root: Any = compose(text, Loader=SafeLoader)
        exports = {str(key.value): value for key, value in root.value}["deployments"]
        whole = _Text(text)
        column = indent_of(whole.lines[lines.start])
        begin, end = lines.start, lines.stop
        return cls(whole, place, column, begin, begin, end, exports.value[place])

    def lines(self) -> list[str]:
        """Give its lines, without those above it."""
        return self.text.lines[self.begin : self.end]

    def asides(self) -> list[str]:
        """Give the comments and empty lines above it."""
        return self.text.lines[self.above : self.begin]

    def inside(self) -> list["_Part"]:
        """List its parts, where each has lines of its own."""
        node = self.node
        if not isinstance(node, CollectionNode) or node.flow_style or not node.value:
            return []
        is_mapping = isinstance(node, MappingNode)
        starts: list[tuple[Any, str | int, Any]] = (
            [(key.start_mark, str(key.value), value) for key, value in node.value]
            if is_mapping
            else [(item.start_mark, at, item) for at, item in enumerate(node.value)]
        )
        begins = [mark.line for mark, _, _ in starts]
        if begins[0] < self.begin or begins != sorted(set(begins)) or begins[-1] >= self.end:
            return []  # it is another's, and only referred to here
        parts = []
        above = self.begin if begins[0] == self.begin else self._skip_asides(begins[0])
        for (mark, key, value), following in zip(starts, [*begins[1:], self.end], strict=True):
            end = self._skip_asides(following)
            column = mark.column if is_mapping else indent_of(self.text.lines[mark.line])
            parts.append(_Part(self.text, key, column, above, mark.line, end, value))
            above = end
        return parts

    def comment(self) -> str:
        """Give the comment beside it: on its first line, or where braces close on its last."""
        beside = self.text.split(self.begin)[1]
        return beside if beside or self.inside() else self.text.split(self.end - 1)[1]

    def _skip_asides(self, end: int) -> int:
        """Go up from a line to the end of what is before it and means something."""
        while is_aside(self.text.lines[end - 1]):
            end -= 1
        return end


def _carry(old: _Part, new: _Part) -> list[str]:
    """Give the lines of a part that may have changed, laid out as it was."""
    if _is_same(old.node, new.node):
        return old.lines()
    olds, news = old.inside(), new.inside()
    is_alike = bool(olds and news) and type(old.node) is type(new.node)
    lines = new.text.lines[new.begin : news[0].above] if is_alike else new.lines()
    if lines:
        lines[0] = f"{new.text.split(new.begin)[0].rstrip()}{old.comment()}\n"
    lines = _shift(lines, old.column - new.column)
    return [*lines, *_carry_inside(olds, news)] if is_alike else lines


def _carry_inside(olds: list[_Part], news: list[_Part]) -> list[str]:
    """Give the lines of parts that may have changed; what is gone takes its comments with it."""
    kept = {one.key for one in news}
    asides: list[str] = []
    above: dict[str | int, list[str]] = {}
    for one in olds:
        asides += one.asides()
        if one.key in kept:
            above[one.key], asides = asides, []
        else:
            asides = without_own_comments(asides, one.column)
    before = {one.key: one for one in olds}
    lines: list[str] = []
    for one in news:
        if one.key in before:
            lines += [*above[one.key], *_carry(before[one.key], one)]
        else:
            lines += _shift(one.lines(), olds[0].column - one.column)
    return lines + asides


def _is_same(one: Any, other: Any) -> bool:
    """Say whether two nodes mean the same to YAML."""
    if isinstance(one, tuple):
        return all(map(_is_same, one, other))
    if type(one) is not type(other) or one.tag != other.tag:
        return False
    if not isinstance(one, CollectionNode):
        return bool(one.value == other.value)
    return len(one.value) == len(other.value) and all(map(_is_same, one.value, other.value))


def _shift(lines: list[str], by: int) -> list[str]:
    """Indent lines by more, or by less."""
    if by >= 0:
        return [" " * by + line if line.strip() else line for line in lines]
    return [line[min(-by, indent_of(line)) :] for line in lines]
