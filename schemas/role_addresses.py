"""Addresses of a role instead of a person, to which Constant Contact sends no mail.

It takes them as contacts, and they count as such: knowledge base 5538. The names and domains are
those of its community post ba-p/282101; of any address with "spam" in it, those of ba-p/221290.
"""

import polars as pl

_NAMES = (
    "abuse|admin|all|everyone|ftp|investorrelations|jobs|marketing|media|noc|postmaster|prime|"
    "privacy|remove|request|root|sales|security|subscribe|usenet|users|uucp|webmaster|www"
)
_DOMAINS = r"(?:googlegroups|yahoogroups)\.com$|craigslist\.org$"
_PATTERN = rf"^(?:{_NAMES})@|@(?:{_DOMAINS})|spam"


def is_role_address(email: pl.Series) -> pl.Series:
    """Say of each address, normalised as it is sent, whether it is a role's; null for null."""
    return email.str.contains(_PATTERN)
