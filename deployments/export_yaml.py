"""YAML that keeps its comments and anchors: read, copied, referred to and written."""

import io
import re
from copy import copy
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.mergevalue import MergeValue
from ruamel.yaml.scalarstring import DoubleQuotedScalarString
from yaml import YAMLError as PlainYAMLError
from yaml import safe_load

from deployments.changes import DeploymentRefused

_WIDEST_LINE = 4096  # prose is not broken into lines that nobody broke


def merged(shared: CommentedMap, own: dict[str, Any]) -> CommentedMap:
    """Make a mapping that is another's, by reference, but for some values of its own."""
    mapping = CommentedMap(own)
    reference = MergeValue()
    reference.append(shared)
    reference.merge_pos = 0
    mapping.add_yaml_merge(reference)
    return mapping


def is_shared(node: Any) -> bool:
    """Say whether a part of the file has an anchor, so that others may refer to it."""
    anchor = getattr(node, "anchor", None)
    return anchor is not None and anchor.value is not None


def list_shared(node: Any) -> list[Any]:
    """List what of a part of the file has an anchor, in its order."""
    found = [node] if is_shared(node) else []
    inside = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for one in inside:
        found += list_shared(one)
    return found


def copy_sharing(node: Any) -> Any:
    """Copy a part of the file without its comments; what has an anchor is referred to."""
    return _copy(node, shares=True)


def copy_apart(node: Any) -> Any:
    """Copy a part of the file without its comments, sharing nothing with others."""
    return _copy(node, shares=False)


def _yaml(text: str) -> YAML:
    """Read and write YAML as a text is laid out."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = _WIDEST_LINE
    nested = re.search(r"^deployments:[^\n]*\n(?:\s*(?:#[^\n]*)?\n)*( *)- ", text, re.MULTILINE)
    offset = len(nested[1]) if nested else 2
    yaml.indent(mapping=2, sequence=offset + 2, offset=offset)
    return yaml


def parse(text: str) -> CommentedMap:
    """Read the text of a file of saved exports.

    Raises:
        DeploymentRefused: it is no such file.
    """
    try:
        document: Any = _yaml(text).load(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise DeploymentRefused(
            f"The file of saved exports is not YAML{where}. Mend it there."
        ) from error
    exports = document.get("deployments") if isinstance(document, CommentedMap) else None
    if exports is not None and not (
        isinstance(exports, list) and all(isinstance(one, CommentedMap) for one in exports)
    ):
        raise DeploymentRefused("The file has no list of exports under `deployments:`.")
    if not isinstance(document, CommentedMap):
        raise DeploymentRefused("The file has no list of exports under `deployments:`.")
    return document


def write(document: CommentedMap, like: str) -> str:
    """Write a changed file, laid out as a text is."""
    output = io.StringIO()
    _yaml(like).dump(document, output)
    return output.getvalue()


def to_yaml(value: Any) -> Any:
    """Turn plain values into what is written as YAML; short lists stay on one line."""
    if isinstance(value, CommentedMap | CommentedSeq):
        return value
    if isinstance(value, dict):
        return CommentedMap({key: to_yaml(one) for key, one in value.items()})
    if isinstance(value, list | tuple):
        sequence = CommentedSeq([to_yaml(one) for one in value])
        if not any(isinstance(one, dict | list) for one in sequence):
            sequence.fa.set_flow_style()
        return sequence
    if isinstance(value, str) and not _is_read_as_it_is(value):
        return DoubleQuotedScalarString(value)
    return value


def _is_read_as_it_is(text: str) -> bool:
    """Say whether Prefect, too, reads a bare word as that text: to it `no` and `1:30` are not."""
    try:
        return bool(safe_load(text) == text) and " * " not in text
    except PlainYAMLError:
        return False


def _copy(node: Any, *, shares: bool) -> Any:
    """Copy a part of the file without its comments; what has an anchor may be referred to."""

    def copy_part(one: Any) -> Any:
        return one if shares and is_shared(one) else _copy(one, shares=shares)

    if isinstance(node, CommentedMap):
        referred = node.merge[0] if shares and node.merge else CommentedMap()
        twin: Any = merged(referred, {}) if referred else CommentedMap()
        for key, value in node.items():
            if key not in referred or referred[key] != value:
                twin[key] = copy_part(value)
    elif isinstance(node, CommentedSeq):
        twin = CommentedSeq(map(copy_part, node))
    else:
        return copy(node)
    if node.fa.flow_style():
        twin.fa.set_flow_style()
    return twin


def to_plain(node: Any) -> Any:
    """Give what a part of the file means, without how it is written."""
    if isinstance(node, dict):
        return {key: to_plain(one) for key, one in node.items()}
    if isinstance(node, list):
        return [to_plain(one) for one in node]
    return node
