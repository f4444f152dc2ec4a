"""Made-up unified profiles, the same ones each time, for the demo and for measuring."""

from pathlib import Path

import polars as pl

FIRST_NAMES = (
    "Amara", "Björn", "Chloé", "Dmitri", "Elif", "Fatima", "Gustav", "Hana", "Iñaki", "Jamila",
    "Kenji", "Layla", "Mateo", "Nadia", "Oskar", "Priya", "Quentin", "Rosa", "Søren", "Tariq",
    "Úna", "Viktor", "Wanjiru", "Xenia", "Yusuf", "Zoë"
)  # fmt: skip
LAST_NAMES = (
    "Andersson", "Brown", "Castillo", "Dubois", "Eriksen", "Fernández", "García", "Haddad",
    "Ivanova", "Jansen", "Kowalska", "Larsen", "Müller", "Nakamura", "O'Brien", "Papadopoulos",
    "Quispe", "Rossi", "Silva", "Tanaka", "Usman", "Virtanen", "Weiß", "Xu", "Yılmaz",
    "Ziegler", "Åkesson", "Öztürk", "Łukasik"
)  # fmt: skip
CITIES = ("Lisbon", "Oslo", "Nairobi", "Lima", "Kyoto", "Boston", "Graz", "Pune", "Cork", "Turku")
COUNTRIES = ("PT", "NO", "KE", "PE", "JP", "US", "AT", "IN", "IE", "FI")
SEGMENT = "Loyalty_High"
ROW_GROUP_ROWS = 125_000


def build_profiles(rows: int) -> pl.LazyFrame:
    """Make up unified profiles, twelve columns wide.

    Of a thousand, ten have no e-mail address, ten a broken one, ten share one with another
    customer, and two a first name that is too long. Every profile is in the segment
    `Loyalty_High`, two of three also in `Newsletter`; addresses are of domains that are reserved
    for examples.
    """
    number = pl.col("number")
    first, last = (
        number.mod(len(names)).cast(pl.Int32).replace_strict(dict(enumerate(names)))
        for names in (FIRST_NAMES, LAST_NAMES)
    )
    address = pl.format(
        "customer{}@example.{}",
        number,
        number.mod(3).replace_strict({0: "com", 1: "org", 2: "net"}),
    )
    kind = number.mod(1000)  # by which one of a thousand it is, a profile has its flaw
    email = (
        pl.when(kind.is_between(0, 9))
        .then(None)
        .when(kind.is_between(10, 19))
        .then(address.str.replace("@", " at "))
        .when(kind.is_between(20, 29))
        .then(pl.format(" Customer{}@Example.com ", (number // 1000) * 1000 + 30))
        .otherwise(address)
    )
    return pl.LazyFrame({"number": pl.int_range(rows, eager=True)}).select(
        pl.format("C-{}", number.cast(pl.String).str.zfill(9)).alias("CustomerId"),
        pl.format("{} {}", first, last).alias("FullName"),
        pl.when(kind.is_in([40, 41]))
        .then(first.repeat_by(20).list.join(" "))
        .otherwise(first)
        .alias("FirstName"),
        last.alias("LastName"),
        email.alias("EMail"),
        pl.format("+1 555 {}", number.mod(10_000).cast(pl.String).str.zfill(4)).alias("Telephone"),
        number.mod(10).cast(pl.Int32).replace_strict(dict(enumerate(CITIES))).alias("City"),
        number.mod(10).cast(pl.Int32).replace_strict(dict(enumerate(COUNTRIES))).alias("Country"),
        (pl.date(1950, 1, 1) + pl.duration(days=number.mod(20_000))).alias("DateOfBirth"),
        (number.mod(90_000) + 10_000).alias("Income"),
        (pl.datetime(2020, 1, 1) + pl.duration(minutes=number.mod(2_000_000))).alias("CreatedOn"),
        pl.when(number.mod(3) > 0)
        .then(pl.lit([SEGMENT, "Newsletter"]))
        .otherwise(pl.lit([SEGMENT]))
        .alias("Segments"),
    )


def write_profiles(path: Path, rows: int) -> None:
    """Write made-up unified profiles as a Parquet file."""
    build_profiles(rows).collect().write_parquet(path, row_group_size=ROW_GROUP_ROWS)
