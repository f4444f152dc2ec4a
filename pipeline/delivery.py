"""Names that find a delivery and its batches again in Constant Contact, on any machine."""

import hashlib
import json
import re
import unicodedata
from dataclasses import dataclass

_SLUG_MOST_CHARACTERS = 40
_BATCH_NAME = re.compile(
    r"(?P<export>[a-z0-9-]{1,40})\.(?P<delivery>[0-9a-f]{12})"
    r"\.(?P<number>\d{4,8})\.(?P<digest>[0-9a-f]{12})\.csv"
)
DIGEST_CHARACTERS = 12

# The last four digits of a name's number count the batches, those before them the repeats. A day's
# quota of 10,000 requests does not carry more batches.
MOST_BATCHES = 9_999


@dataclass(frozen=True, slots=True)
class BatchName:
    """The parts of a batch's file name; `repeat` is 0 until a delivery is sent once more."""

    export: str
    delivery: str
    number: int
    digest: str
    repeat: int = 0


def delivery_key(identity: object) -> str:
    """Give the 12 hexadecimal digits that stand for everything that makes a delivery what it is.

    Args:
        identity: plain JSON values; equal values give equal keys in every process and version.
    """
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:DIGEST_CHARACTERS]


def export_slug(name: str) -> str:
    """Reduce an export's name to at most 40 of `a-z 0-9 -`, and never to nothing."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-")[:_SLUG_MOST_CHARACTERS].strip("-")
    return slug or "export"


def batch_file_name(
    export: str, delivery: str, number: int, digest: str, *, repeat: int = 0
) -> str:
    """Name a batch's file `<export>.<delivery>.<number>.<digest>.csv`.

    Within a repeat of a delivery every name has the same length, so the request's framing has too.
    """
    counted = repeat * (MOST_BATCHES + 1) + number
    return f"{export_slug(export)}.{delivery}.{counted:04d}.{digest[:DIGEST_CHARACTERS]}.csv"


def parse_batch_file_name(file_name: str) -> BatchName | None:
    """Read a batch's file name back; None for a file that is none of ours."""
    parts = _BATCH_NAME.fullmatch(file_name)
    if parts is None:
        return None
    repeat, number = divmod(int(parts["number"]), MOST_BATCHES + 1)
    return BatchName(parts["export"], parts["delivery"], number, parts["digest"], repeat)
