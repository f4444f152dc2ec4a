"""Paths and addresses of tables, as people write them into settings."""

import re

DATE_PLACEHOLDER = re.compile(r"\{as_of(?:![^}]*|:[^{}]*)?\}")
# Of `scheme://key:secret@host/…`, where a secret may hold slashes and a port is none; and of
# `?client_secret=…` and its like.
_SECRET = re.compile(
    r"://[^/?#@]*:(?!\d{1,5}(?:/|$))[^@]*@"
    r"|://.*[?&][^=&]*(?:secret|password|token|sig|signature|(?:account|access)_?key)=",
    re.IGNORECASE | re.DOTALL,
)
# As much of it as a form can check before anything is stored: its patterns know no letter case.
HARMLESS_PATTERN = (
    r"^(?!.*://[^/?#@]*:(?!\d{1,5}(/|$))[^@{}]*@)"
    r"(?!.*://.*[?&][^=&]*([Ss]ecret|[Pp]assword|[Tt]oken|[Ss]ig|[Ss]ignature|[Kk]ey)=)"
)


def holds_date(location: str) -> bool:
    """Say whether a path has a place for the snapshot's date."""
    return DATE_PLACEHOLDER.search(location) is not None


def holds_secret(location: str) -> bool:
    """Say whether a URL has a secret in it, which messages, logs and Prefect would show."""
    return _SECRET.search(DATE_PLACEHOLDER.sub("", location)) is not None
