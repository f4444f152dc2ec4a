"""From the columns of a slice of profiles to the normalised fields of contacts."""

import polars as pl

from pipeline.errors import ColumnTypeWrong, one_line
from pipeline.mapping import ContactMapping, Selection
from pipeline.segments import check_key, key_text
from pipeline.source import Table
from pipeline.text_forms import (
    check_has_text,
    email_text,
    in_utc,
    is_text,
    name_text,
    plain_text,
    text_of,
    type_name,
)
from schemas.contact import (
    NO_BREACHES,
    find_breaches,
    most_characters_of,
    optional_schema,
)

_NAMES = frozenset({"first_name", "last_name"})
_INTEGER_MOST_CHARACTERS = 40  # of 128 bits, with a sign
_BIRTHDAY = frozenset({"birthday_day", "birthday_month"})


def check_columns(profiles: Table, selection: Selection, mapping: ContactMapping) -> None:
    """Refuse columns that are missing or of a type that cannot serve; reads nothing."""
    check_key(profiles, selection.customer_id)
    email_type = profiles.column_type(mapping.email, "e-mail column")
    if not (is_text(email_type) or email_type == pl.Null):
        raise ColumnTypeWrong(
            f"The e-mail column {one_line(mapping.email)} is {type_name(email_type)}: name a "
            "column of text."
        )
    for field in mapping.fields:
        dtype = profiles.column_type(field.column, f"sent as {field.heading}")
        check_has_text(field.column, dtype, field.heading)
        is_number_like = dtype.is_numeric() or is_text(dtype) or dtype == pl.Null
        if field.heading in _BIRTHDAY and not is_number_like:
            raise ColumnTypeWrong(
                f"The column {one_line(field.column)} ({type_name(dtype)}) cannot be sent as "
                f"{field.heading}: map a column with that number alone."
            )


def required_columns(selection: Selection, mapping: ContactMapping) -> list[str]:
    """Name the columns that decide whether a profile goes."""
    return [selection.customer_id, mapping.email]


def field_columns(mapping: ContactMapping) -> list[str]:
    """Name the columns of the fields beside the e-mail address."""
    return [field.column for field in mapping.fields]


def normalise_required(
    frame: pl.DataFrame, selection: Selection, mapping: ContactMapping
) -> pl.DataFrame:
    """Normalise the key and the address of profiles: `customer_id`, `email`, null where missing."""
    return pl.DataFrame(
        [
            frame.select(key_text(selection.customer_id)).to_series().alias("customer_id"),
            normalise_email(frame, mapping),
        ]
    )


def normalise_email(frame: pl.DataFrame, mapping: ContactMapping) -> pl.Series:
    """Normalise the address of profiles, null where missing."""
    return email_text(frame[mapping.email].cast(pl.String)).alias("email")


def normalise_fields(frame: pl.DataFrame, mapping: ContactMapping) -> pl.DataFrame:
    """Normalise the other fields of profiles, a text column a heading, null if not supplied."""
    return pl.DataFrame(
        [
            _normalise(frame[field.column], field.heading).alias(field.heading)
            for field in mapping.fields
        ]
    )


def find_suspects(frame: pl.DataFrame, mapping: ContactMapping) -> pl.Series:
    """Find the profiles of which a field might break a rule, at a fraction of the rules' cost.

    Returns:
        Their indexes (u32) in the frame. Whoever is not among them keeps every rule.
    """
    is_suspect = pl.repeat(value=False, n=frame.height, dtype=pl.Boolean, eager=True)
    for field in mapping.fields:
        is_suspect |= _may_break_rule(frame[field.column], field.heading)
    return is_suspect.arg_true()


def find_amendments(fields: pl.DataFrame) -> pl.DataFrame:
    """Find the values that are left out because they break a rule.

    Returns:
        A line for each: `index` in the frame, `field` (its heading) and `reason` (the first).
    """
    if fields.is_empty():
        return NO_BREACHES
    breaches = find_breaches(optional_schema(fields.columns), fields)
    return breaches.unique(["index", "field"], keep="first", maintain_order=True)


def leave_out(fields: pl.DataFrame, amendments: pl.DataFrame) -> pl.DataFrame:
    """Make null what `find_amendments` found."""
    kept = [
        fields[heading].scatter(of_field["index"], None)
        for (heading,), of_field in amendments.group_by("field")
    ]
    return fields.with_columns(kept)


def _may_break_rule(values: pl.Series, heading: str) -> pl.Series:
    most_characters = most_characters_of(heading)
    dtype = values.dtype
    if most_characters is None or not (is_text(dtype) or dtype.is_integer()):
        return values.is_not_null()
    if dtype.is_integer():
        return pl.repeat(
            value=most_characters < _INTEGER_MOST_CHARACTERS, n=values.len(), eager=True
        )
    text = values.cast(pl.String)
    size_bytes = text.str.len_bytes()
    is_ascii = size_bytes == text.str.len_chars()
    # Cleaning only ever shortens ASCII; beyond it NFC makes a text at most three times as long
    # (Unicode normalization FAQ, worst-case expansion).
    most_bytes = pl.select(pl.when(is_ascii).then(most_characters).otherwise(most_characters // 3))
    return (size_bytes > most_bytes.to_series()).fill_null(value=False)


def _normalise(values: pl.Series, heading: str) -> pl.Series:
    if heading in _NAMES:
        return name_text(text_of(values))
    if heading == "anniversary" and isinstance(values.dtype, pl.Datetime):
        values = in_utc(values).dt.date()
    text = plain_text(text_of(values))
    if heading in _BIRTHDAY:
        return text.str.replace(r"^0+([1-9])", "${1}")
    return text
