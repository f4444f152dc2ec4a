"""Names that a person may have meant, for a name that there is not."""

from collections.abc import Iterable
from difflib import get_close_matches

_MOST = 3


def suggest_names(name: str, names: Iterable[str]) -> str:
    """Ask whether one of the names was meant, each told once; else list what there is, if any."""
    known = list(dict.fromkeys(names))
    near = get_close_matches(name, known, _MOST)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return f"There are: {', '.join(known)}." if known else ""
