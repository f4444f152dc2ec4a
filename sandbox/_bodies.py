"""Request bodies: JSON as the contract types it, multipart as RFC 7578 frames it, and the cut.

A body that reaches the limit is cut there, whatever stands at that point, multipart framing
included; of the rows that remain, the last is dropped in any case, broken or not, so that a client
which is one byte over the limit always loses something that it can notice.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox._errors import invalid, unsupported
from sandbox._http import Call

PARAMETER = re.compile(r';\s*([a-z*]+)=("(?:[^"\\]|\\.)*"|[^\s;"]+)', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart body; `file_name` is None for a plain field."""

    name: str
    file_name: str | None
    content: bytes
    is_cut: bool


def read_json(call: Call, *, wrong_type_status: int = 415) -> Any:
    """Parse a JSON body whole.

    Raises:
        RefusedError: 400 for malformed JSON, the given status for another Content-Type.
    """
    check_json_type(call, wrong_type_status)
    try:
        return json.loads(call.body)
    except ValueError:
        raise invalid("The request body is not valid JSON") from None


def read_json_object(call: Call) -> dict[str, Any]:
    """Parse a JSON body that must be an object."""
    content = read_json(call)
    if not isinstance(content, dict):
        raise invalid("The request body is not a JSON object")
    return content


def check_json_type(call: Call, wrong_type_status: int = 415) -> None:
    """Refuse a body that does not call itself JSON."""
    media_type = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise invalid("Content-Type must be application/json", wrong_type_status)


def check_encoding(headers: Mapping[str, str], status: int) -> None:
    """Refuse a compressed body: no page of the documentation mentions one (case 68)."""
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise invalid("Content-Encoding is not supported", status)


def read_cut_json(body: bytes, limit_bytes: int) -> Any:
    """Parse a JSON import of which only the part below the limit is read (case 52).

    The rows are flat objects in one array, so the text is cut behind the last whole row and closed
    again. What came after the rows is lost: `list_ids` must come before `import_data`.
    """
    if len(body) < limit_bytes:
        try:
            return json.loads(body)
        except ValueError:
            raise invalid("The request body is not valid JSON") from None
    text = body[: limit_bytes - 1].decode(errors="ignore")
    end = text.rfind("}")
    if "{" not in text[end + 1 :]:
        end = text.rfind("}", 0, end)
    try:
        return json.loads(text[: end + 1] + "]}")
    except ValueError:
        raise invalid("The first 4 MB of the request body are not valid JSON") from None


def read_multipart(call: Call, limit_bytes: int) -> list[Part]:
    """Split a multipart/form-data body of which only the part below the limit is read.

    Raises:
        RefusedError: 415 for another Content-Type (case 61), 400 for a broken frame.
    """
    header = call.headers.get("content-type", "")
    parameters = _parameters(header)
    if not header.lower().startswith("multipart/form-data") or "boundary" not in parameters:
        raise unsupported("The body must be multipart/form-data with a boundary")
    delimiter = b"\r\n--" + parameters["boundary"].encode("latin-1")
    is_cut = len(call.body) >= limit_bytes
    rest = b"\r\n" + (call.body[: limit_bytes - 1] if is_cut else call.body)
    if is_cut:
        rest = _without_broken_end(rest, delimiter + b"--")
    pieces = rest.split(delimiter)
    is_closed = len(pieces) > 1 and pieces[-1].startswith(b"--")
    if pieces[0] not in {b"", b"\r\n"} or not (is_closed or is_cut):
        raise invalid("The multipart body is malformed")
    framed = pieces[1:-1] if is_closed else pieces[1:]
    return [
        _read_part(piece, is_cut=is_cut and number == len(framed))
        for number, piece in enumerate(framed, start=1)
    ]


def drop_last_row(content: bytes) -> bytes:
    """Return the content of a cut file without its last row, broken or whole."""
    return content[: content.rstrip(b"\r\n").rfind(b"\n") + 1]


def _without_broken_end(rest: bytes, closing: bytes) -> bytes:
    """Return the content of a cut body without the part of its closing boundary that is left."""
    for length in range(len(closing) - 1, 0, -1):
        if rest.endswith(closing[:length]):
            return rest[:-length]
    return rest


def _read_part(piece: bytes, *, is_cut: bool) -> Part:
    head, separator, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    if not separator:
        raise invalid("The multipart body is malformed")
    for line in head.decode(errors="replace").split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-disposition" and value.strip().startswith("form-data"):
            parameters = _parameters(value)
            if "name" in parameters:
                return Part(parameters["name"], parameters.get("filename"), content, is_cut)
    raise invalid("A part of the multipart body has no name")


def _parameters(header: str) -> dict[str, str]:
    """Return the parameters of a header value, unquoted, names in lower case."""
    found = {}
    for match in PARAMETER.finditer(header):
        value = match[2]
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        found[match[1].lower()] = value
    return found
