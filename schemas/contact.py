"""What Constant Contact takes as a contact: every rule once, with its reason code and its check.

The pipeline runs these rules, the tests test them and the documentation's table is made of them.
They are checked on text that `pipeline.text_forms` has normalised, on collected frames: on a lazy
one Pandera would look at names and types only.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import MappingProxyType

import pandera.polars as pa
import polars as pl
from pandera.errors import SchemaErrors

RULES_VERSION = 1
"""Raised whenever rules or text forms change what is sent; part of a delivery's identity."""

CUSTOM_FIELD_PREFIX = "cf:"
CUSTOM_FIELDS_MOST = 25  # contract, contactsCSVImport: "up to 25 different custom fields"
CUSTOM_FIELD_MOST_CHARACTERS = 255
EMAIL_MOST_CHARACTERS = 80
REQUIRED = ("customer_id", "email")

_CONTRACT = "Constant Contact V3 contract, contactsCSVImport and JsonImportContact"
_KNOWLEDGE_BASE = "Constant Contact knowledge base 37423, standard headings and character limits"
_HTML = (
    "HTML Standard, input type=email; Constant Contact's support: a complete domain, no spaces, "
    "commas or brackets"
)
_OURS = "segment-export"

# The smaller one where the contract and the knowledge base differ. None: not a matter of length.
HEADINGS: MappingProxyType[str, int | None] = MappingProxyType(
    {
        "email": EMAIL_MOST_CHARACTERS,
        "first_name": 50,
        "last_name": 50,
        "phone": 25,
        "job_title": 50,
        "anniversary": None,
        "birthday_day": None,
        "birthday_month": None,
        "company_name": 50,
        "street": 50,
        "street2": 50,
        "city": 50,
        "state": 50,
        "zip": 25,
        "country": 25,
    }
)

# HTML's rule, in which each part of the domain starts and ends with a letter or digit, and ours on
# top of it: a dot in the domain, and dots in the local part only between other characters.
_LOCAL = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
EMAIL_PATTERN = rf"^{_LOCAL}(?:\.{_LOCAL})*@{_LABEL}(?:\.{_LABEL})+$"

_DAY = r"^(?:[1-9]|[12][0-9]|3[01])$"
_MONTH = r"^(?:[1-9]|1[0-2])$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: `holds` takes a column's name and is true where a value keeps it.

    A null is 'not supplied' and keeps every rule but the ones that ask for a value.
    """

    code: str
    field: str
    text: str
    effect: str
    source: str
    holds: Callable[[str], pl.Expr]


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One line of the documentation's table of rules."""

    code: str
    field: str
    rule: str
    effect: str
    source: str


def _supplied(name: str) -> pl.Expr:
    return pl.col(name).is_not_null()


def _at_most(characters: int) -> Callable[[str], pl.Expr]:
    return lambda name: pl.col(name).is_null() | (pl.col(name).str.len_chars() <= characters)


def _is_address(name: str) -> pl.Expr:
    return pl.col(name).is_null() | pl.col(name).str.contains(EMAIL_PATTERN)


def _is_date(name: str) -> pl.Expr:
    text = pl.col(name)
    exists = text.str.to_date("%Y-%m-%d", strict=False).is_not_null()
    has_year = ~text.str.starts_with("0000")  # which Polars takes for a year
    return text.is_null() | (text.str.contains(_DATE) & exists & has_year)


def _month_counts() -> pl.Expr:
    return pl.col("birthday_month").str.contains(_MONTH).fill_null(value=False)


def _day_counts() -> pl.Expr:
    """Say whether the day is one of its month's; of any month's where the month says nothing."""
    month = pl.col("birthday_month")
    days = (
        pl.when(month == "2")
        .then(29)
        .when(month.is_in(["4", "6", "9", "11"]))
        .then(30)
        .otherwise(31)
    )
    day = pl.col("birthday_day")
    is_day = day.str.contains(_DAY)
    return (is_day & (day.cast(pl.UInt8, strict=False) <= days)).fill_null(value=False)


_REJECTED = "rejected"
_LEFT_OUT = "field left out"

REJECT_RULES = (
    Rule(
        "customer_id_missing",
        "customer_id",
        "A profile has a key that is not empty.",
        _REJECTED,
        _OURS,
        _supplied,
    ),
    Rule(
        "email_missing",
        "email",
        "An e-mail address is there, apart from white space.",
        _REJECTED,
        _CONTRACT,
        _supplied,
    ),
    Rule(
        "email_too_long",
        "email",
        f"An e-mail address has at most {EMAIL_MOST_CHARACTERS} characters.",
        _REJECTED,
        _KNOWLEDGE_BASE,
        _at_most(EMAIL_MOST_CHARACTERS),
    ),
    Rule(
        "email_invalid",
        "email",
        "An e-mail address keeps HTML's rule, has a dot in its domain and, before the @, no dot "
        "at either end nor two in a row.",
        _REJECTED,
        _HTML,
        _is_address,
    ),
)

_LENGTH_RULES = tuple(
    Rule(
        f"{heading}_too_long",
        heading,
        f"At most {most} characters.",
        _LEFT_OUT,
        _KNOWLEDGE_BASE,
        _at_most(most),
    )
    for heading, most in HEADINGS.items()
    if most is not None and heading != "email"
)

_DATE_RULES = (
    Rule(
        "anniversary_invalid",
        "anniversary",
        "A date that exists, as YYYY-MM-DD, in the years 1 to 9999.",
        _LEFT_OUT,
        _CONTRACT,
        _is_date,
    ),
    Rule(
        "birthday_invalid",
        "birthday_day",
        "A whole number from 1 to 31, and a day of the month beside it.",
        _LEFT_OUT,
        _CONTRACT,
        lambda name: pl.col(name).is_null() | _day_counts(),
    ),
    Rule(
        "birthday_invalid",
        "birthday_month",
        "A whole number from 1 to 12.",
        _LEFT_OUT,
        _CONTRACT,
        lambda name: pl.col(name).is_null() | _month_counts(),
    ),
    Rule(
        "birthday_incomplete",
        "birthday_day",
        "A month that counts stands beside it.",
        _LEFT_OUT,
        _CONTRACT,
        lambda name: pl.col(name).is_null() | _month_counts(),
    ),
    Rule(
        "birthday_incomplete",
        "birthday_month",
        "A day that counts stands beside it.",
        _LEFT_OUT,
        _CONTRACT,
        lambda name: pl.col(name).is_null() | _day_counts(),
    ),
)

_CUSTOM_FIELD_RULE = Rule(
    "custom_field_too_long",
    f"{CUSTOM_FIELD_PREFIX}<name>",
    f"At most {CUSTOM_FIELD_MOST_CHARACTERS} characters.",
    _LEFT_OUT,
    _CONTRACT,
    _at_most(CUSTOM_FIELD_MOST_CHARACTERS),
)

AMEND_RULES = (*_LENGTH_RULES, *_DATE_RULES, _CUSTOM_FIELD_RULE)

DUPLICATE_CODE = "duplicate_email"
"""The reason code of a profile whose address another, newer profile takes to the list."""

REFUSED_CODE = "refused_by_api"
"""The reason code of a contact that Constant Contact refuses, sent by itself."""

NOT_ADDED_CODE = "not_added_to_list"
"""The reason code of an unsubscribed contact, which Constant Contact takes but adds to no list."""


NO_BREACHES = pl.DataFrame(schema={"index": pl.UInt32, "field": pl.String, "reason": pl.String})


def required_schema() -> pa.DataFrameSchema:
    """Build the schema of `customer_id` and `email`: who breaks it is rejected."""
    return _schema({field: _rules_of(field, REJECT_RULES) for field in REQUIRED})


def optional_schema(headings: Iterable[str]) -> pa.DataFrameSchema:
    """Build the schema of the other fields: a value that breaks it is left out."""
    return _schema({heading: _rules_of(heading, AMEND_RULES) for heading in headings})


def most_characters_of(heading: str) -> int | None:
    """Give the most characters that a field may have; None where its rule is another one."""
    if heading.startswith(CUSTOM_FIELD_PREFIX):
        return CUSTOM_FIELD_MOST_CHARACTERS
    return HEADINGS[heading]


def find_breaches(schema: pa.DataFrameSchema, contacts: pl.DataFrame) -> pl.DataFrame:
    """Find the values that break a rule, in the order of the rules.

    Returns:
        `index` (u32, row of the frame), `field` and `reason`, a line per broken rule and value.

    Pandera's own exception quotes the values, so it ends here.
    """
    try:
        schema.validate(contacts, lazy=True)
    except SchemaErrors as failed:
        cases: pl.DataFrame = failed.failure_cases
    else:
        return NO_BREACHES
    if cases["index"].has_nulls():
        # Not a value but a column broke the schema, which would be a fault of ours.
        columns = ", ".join(sorted(set(cases.filter(pl.col("index").is_null())["column"])))
        raise TypeError(f"The contact frame lacks a column or has a wrong type: {columns}.")
    return cases.select(
        pl.col("index").cast(pl.UInt32),
        pl.col("column").alias("field"),
        pl.col("check").alias("reason"),
    )


def describe_rules() -> list[RuleRow]:
    """List every rule for the documentation, rejections first."""
    rows = [
        RuleRow(rule.code, rule.field, rule.text, rule.effect, rule.source)
        for rule in (*REJECT_RULES, *AMEND_RULES)
    ]
    duplicate = RuleRow(
        DUPLICATE_CODE,
        "email",
        "One contact an address: the newest profile, else the one with the lowest key.",
        "duplicate",
        _OURS,
    )
    refused = RuleRow(
        REFUSED_CODE,
        "email",
        "Constant Contact takes the contact: a batch that it refuses is halved, down to the "
        "contacts at fault.",
        "rejected",
        _OURS,
    )
    return [*rows, duplicate, refused]


def _rules_of(field: str, rules: Iterable[Rule]) -> list[Rule]:
    if field.startswith(CUSTOM_FIELD_PREFIX):
        return [_CUSTOM_FIELD_RULE]
    return [rule for rule in rules if rule.field == field]


def _schema(rules_by_field: dict[str, list[Rule]]) -> pa.DataFrameSchema:
    return pa.DataFrameSchema(
        {
            field: pa.Column(pl.String, nullable=True, checks=[_check(rule) for rule in rules])
            for field, rules in rules_by_field.items()
        }
    )


def _check(rule: Rule) -> pa.Check:
    def holds(column: pa.PolarsData) -> pl.LazyFrame:
        return column.lazyframe.select(rule.holds(column.key))

    # Each rule answers for nulls itself; an answer that is null after all must not pass.
    return pa.Check(holds, name=rule.code, error=rule.code, ignore_na=False)
