"""What can be wrong with the input of an export: each message one line for a person.

PipelineError
├── MappingInvalid            settings that contradict each other or name no field there is
├── SourceUnreadable          a table cannot be read
│   ├── SourceMissing         there is no such table
│   └── SourceChanged         a table was rewritten while it was being read
├── ColumnMissing             a table has no such column
├── ColumnTypeWrong           a column holds something that cannot serve its purpose
├── MembershipUnclear         nothing says who belongs to which segment
├── UnknownSegment            no customer is in a segment of that name
├── KeysNotUnique             several profiles share one key
├── TooManyProfiles           the segments hold more profiles than this export may take
├── ContactAllowanceExceeded  more contacts than the customer's contract allows
├── BatchImpossible           one contact alone is larger than a request may be
├── ReportUnwritable          the report folder cannot be written
├── ConservationBroken        a profile or a byte is unaccounted for: a fault of ours
└── PreparationFailed         something unforeseen: a fault of ours

Messages name files, columns, settings and numbers, never a value of a person. All are picklable,
because Prefect moves them between processes.
"""

from collections.abc import Iterable
from difflib import get_close_matches

_NAMES_SHOWN = 50


class PipelineError(Exception):
    """An export that cannot be prepared; nothing has been sent."""


class MappingInvalid(PipelineError):
    """Settings contradict each other or name a field that Constant Contact does not import."""


class SourceUnreadable(PipelineError):
    """A table is missing, is not Parquet, is damaged or may not be read."""


class SourceMissing(SourceUnreadable):
    """There is no file of a table where it is said to be."""


class SourceChanged(SourceUnreadable):
    """A file was rewritten or removed between the two times that it is read."""


class ColumnMissing(PipelineError):
    """A table lacks a column that the settings name."""


class ColumnTypeWrong(PipelineError):
    """A column's type or content cannot serve the purpose that the settings give it."""


class MembershipUnclear(PipelineError):
    """It cannot be told where segment membership is kept."""


class UnknownSegment(PipelineError):
    """A segment asked for does not exist."""


class KeysNotUnique(PipelineError):
    """Several profiles of the segments share one key, so the key identifies nobody."""


class TooManyProfiles(PipelineError):
    """The segments hold more profiles than the export's own limit."""


class ContactAllowanceExceeded(PipelineError):
    """The delivery holds more contacts than the connection's contract allows."""


class BatchImpossible(PipelineError):
    """A single contact does not fit into a request."""


class ReportUnwritable(PipelineError):
    """The report folder cannot be written."""


class ConservationBroken(PipelineError):
    """Verdicts do not add up to the profiles in the segments, or a file to its contacts."""


class PreparationFailed(PipelineError):
    """Something unforeseen happened; what it said may quote values, so it is not passed on."""


def list_names(names: Iterable[str]) -> str:
    """List names for a message: sorted, quoted, at most 50 and then how many more there are."""
    ordered = sorted(names)
    shown = ", ".join(one_line(name) for name in ordered[:_NAMES_SHOWN])
    hidden = len(ordered) - _NAMES_SHOWN
    return f"{shown} and {hidden:,} more" if hidden > 0 else shown


def suggest(wanted: str, names: Iterable[str]) -> str:
    """Suggest the names nearest to one that does not exist, as the end of a sentence.

    With nothing near, all the names there are; case counts for nothing in being near.
    """
    by_folded = {name.casefold(): name for name in names}
    near = get_close_matches(wanted.casefold(), by_folded, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(one_line(by_folded[name]) for name in near)}?"
    return f"there are: {list_names(by_folded.values())}." if by_folded else "there are none."


def one_line(text: object) -> str:
    """Quote a name so that whatever it contains stays on one line."""
    printable = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text)
    )
    return f"'{printable}'"
