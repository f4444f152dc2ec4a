"""The one text form of each type of value, and the cleaning of text, for Constant Contact.

Dates are `YYYY-MM-DD`, instants `YYYY-MM-DDTHH:MM:SSZ` in UTC (one without a time zone is taken as
UTC, parts of a second are dropped), times `HH:MM:SS`, numbers plain decimals without exponent or
trailing zeros, booleans `true` and `false`. NaN, the infinities and dates outside of the years
1 to 9999, which some systems write for "never", count as not supplied.
Empty text is null everywhere: not supplied.
"""

from collections.abc import Callable
from decimal import Decimal

import polars as pl

from pipeline.errors import ColumnTypeWrong, one_line

# White space is Unicode's White_Space property here, in Rust's `\s` as in `strip_chars`; so tab,
# line breaks, VT, FF and NEL are space, and what remains of Cc is removed.
_CONTROLS_BUT_SPACE = r"[\p{Cc}--\s]"
_CONTROLS_BUT_TAB_AND_LINES = r"[\p{Cc}--[\t\n\r]]"
# Characters that NFC leaves alone whatever stands beside them in such a text: printable ASCII,
# Latin, Cyrillic, Hiragana, Katakana, CJK ideographs and Hangul syllables, all precomposed.
# Text of these alone is recognised at a fraction of what cleaning it would cost.
STABLE = (
    r"!-~\u{a1}-\u{2ff}\u{400}-\u{482}\u{48a}-\u{52f}\u{1e00}-\u{1eff}"
    r"\u{3041}-\u{3096}\u{30a1}-\u{30fa}\u{4e00}-\u{9fff}\u{ac00}-\u{d7a3}"
)
_FIRST_DAY = -719_162  # 0001-01-01, in days since 1970-01-01
_LAST_DAY = 2_932_896  # 9999-12-31
_UNITS_A_DAY = {"d": 1, "ms": 86_400_000, "us": 86_400_000_000}
_NOTHING = pl.Series([None])
_MOST_DIGITS = 38  # of a decimal in 128 bits
_CLEAN_NAME = rf"^[{STABLE}]+(?: [{STABLE}]+)*$"
_CLEAN_TEXT = rf"^[{STABLE}](?:[ {STABLE}]*[{STABLE}])?$"


def email_text(values: pl.Series) -> pl.Series:
    """Trim Unicode white space and lower-case; nothing left is null.

    An address with a character outside ASCII keeps its case, for it is refused anyway, and lower
    case would turn the Kelvin sign into an ordinary k.
    """
    trimmed = values.str.strip_chars()
    is_ascii = trimmed.str.len_chars() == trimmed.str.len_bytes()
    lowered = trimmed.str.to_lowercase()
    return _null_if_empty(lowered if is_ascii.all() else lowered.zip_with(is_ascii, trimmed))


def name_text(values: pl.Series) -> pl.Series:
    """Remove control characters, make each run of white space one space, trim, compose (NFC)."""
    return _clean_where_needed(values, _CLEAN_NAME, _clean_name)


def plain_text(values: pl.Series) -> pl.Series:
    """Trim, compose (NFC), and remove control characters other than tab and line breaks."""
    return _clean_where_needed(values, _CLEAN_TEXT, _clean_plain)


def text_of(values: pl.Series) -> pl.Series:
    """Write values of any type that `check_has_text` lets pass in their one text form."""
    dtype = values.dtype
    if dtype == pl.String:
        return values
    if dtype == pl.Date:
        return _within_calendar(values).dt.strftime("%Y-%m-%d")
    if isinstance(dtype, pl.Datetime):
        return in_utc(values).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    if dtype == pl.Time:
        return values.dt.strftime("%H:%M:%S")
    if dtype.is_float():
        return _float_text(values)
    text = values.cast(pl.String)
    # All others are integers, booleans, categories, enumerations, or nothing but nulls.
    return _without_trailing_zeros(text) if dtype.is_decimal() else text


def in_utc(values: pl.Series) -> pl.Series:
    """Give instants in UTC, null where the calendar has no such year."""
    kept = _within_calendar(values)
    has_zone = isinstance(kept.dtype, pl.Datetime) and kept.dtype.time_zone is not None
    return kept.dt.convert_time_zone("UTC") if has_zone else kept


def check_has_text(column: str, dtype: pl.DataType, purpose: str) -> None:
    """Refuse a column whose type has no text form (lists, structs, bytes, durations …)."""
    has_text = (
        (dtype.is_numeric() and not _is_too_precise(dtype))
        or isinstance(dtype, pl.Categorical | pl.Enum)
        or dtype in (pl.String, pl.Boolean, pl.Date, pl.Datetime, pl.Time, pl.Null)
    )
    if not has_text:
        raise ColumnTypeWrong(
            f"The column {one_line(column)} ({type_name(dtype)}) cannot be sent as {purpose}: map "
            "a column of text, numbers, dates or booleans."
        )


def is_text(dtype: object) -> bool:
    """Say whether a column of this type holds text."""
    return dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum)


def type_name(dtype: object) -> str:
    """Name a type in a message without an enumeration's values, which are data."""
    if isinstance(dtype, pl.List | pl.Array):
        return f"{dtype.base_type()}({type_name(dtype.inner)})"
    if isinstance(dtype, pl.Enum | pl.Categorical | pl.Struct):
        return str(dtype.base_type())
    return str(dtype)


def _is_too_precise(dtype: pl.DataType) -> bool:
    """Say whether Polars has a name for a decimal but cannot read it."""
    return isinstance(dtype, pl.Decimal) and (dtype.precision or 0) > _MOST_DIGITS


def _clean_where_needed(
    values: pl.Series, clean: str, cleaning: Callable[[pl.Series], pl.Series]
) -> pl.Series:
    """Clean only the values that are not clean already, and make empty ones null."""
    is_clean = values.str.contains(clean).fill_null(value=True)
    if is_clean.all():
        return values
    unclean_rows = (~is_clean).arg_true()
    return values.scatter(unclean_rows, _null_if_empty(cleaning(values.gather(unclean_rows))))


def _null_if_empty(values: pl.Series) -> pl.Series:
    return values.replace("", None)


def _clean_name(text: pl.Series) -> pl.Series:
    spaced = text.str.replace_all(_CONTROLS_BUT_SPACE, "").str.replace_all(r"\s+", " ")
    return spaced.str.strip_chars().str.normalize("NFC")


def _clean_plain(text: pl.Series) -> pl.Series:
    kept = text.str.replace_all(_CONTROLS_BUT_TAB_AND_LINES, "")
    return kept.str.strip_chars().str.normalize("NFC")


def _within_calendar(values: pl.Series) -> pl.Series:
    """Make null what lies outside of the years 1 to 9999, which no form can express.

    By the number that a value is stored as: Polars gives up on a date far enough outside.
    """
    unit = values.dtype.time_unit if isinstance(values.dtype, pl.Datetime) else "d"
    if unit == "ns":
        return values  # 64 bits of nanoseconds reach from 1677 to 2262
    first, end = (bound * _UNITS_A_DAY[unit] for bound in (_FIRST_DAY, _LAST_DAY + 1))
    is_within = values.to_physical().is_between(first, end, closed="left")
    return values if is_within.all() else values.zip_with(is_within, _NOTHING.cast(values.dtype))


def _without_trailing_zeros(numbers: pl.Series) -> pl.Series:
    text = pl.col("text")
    shortened = pl.when(text.str.contains(".", literal=True))
    trimmed = shortened.then(text.str.strip_chars_end("0").str.strip_chars_end("."))
    plain = trimmed.otherwise(text)
    unsigned = pl.when(plain == "-0").then(pl.lit("0")).otherwise(plain)
    return numbers.alias("text").to_frame().select(unsigned).to_series().alias(numbers.name)


def _float_text(values: pl.Series) -> pl.Series:
    """Write floats by the shortest decimal that reads back the same."""
    is_finite = values.is_finite().fill_null(value=False)
    finite = values.cast(pl.String).zip_with(is_finite, _NOTHING.cast(pl.String))
    has_exponent = finite.str.contains("e", literal=True)
    if has_exponent.any():
        rows = has_exponent.fill_null(value=False).arg_true()
        plain = [f"{Decimal(text):f}" for text in finite.gather(rows)]
        finite = finite.scatter(rows, pl.Series(plain))
    return _without_trailing_zeros(finite)
