"""The pure core: from unified profiles to contact batches. No Prefect, no HTTP.

`prepare` is the whole of it for a caller: it reads who is in the segments, decides what becomes
of each profile and hands out the batches.
"""

from pipeline.asking import check_coming_source, check_source, list_segments
from pipeline.batches import MOST_CONTACT_LINES, ContactBatch
from pipeline.delivery import BatchName, batch_file_name, export_slug, parse_batch_file_name
from pipeline.errors import (
    BatchImpossible,
    ColumnMissing,
    ColumnTypeWrong,
    ConservationBroken,
    ContactAllowanceExceeded,
    KeysNotUnique,
    MappingInvalid,
    MembershipUnclear,
    PipelineError,
    PreparationFailed,
    ReportUnwritable,
    SourceChanged,
    SourceMissing,
    SourceUnreadable,
    TooManyProfiles,
    UnknownSegment,
)
from pipeline.halving import cut_around, halve
from pipeline.mapping import Attribute, ContactMapping, Selection
from pipeline.preparation import Prepared, Source, open_source, prepare
from pipeline.refusals import NamedLine
from pipeline.snapshots import Finding, find_snapshot, iter_dates
from pipeline.verdicts import Verdicts

__all__ = [
    "MOST_CONTACT_LINES",
    "Attribute",
    "BatchImpossible",
    "BatchName",
    "ColumnMissing",
    "ColumnTypeWrong",
    "ConservationBroken",
    "ContactAllowanceExceeded",
    "ContactBatch",
    "ContactMapping",
    "Finding",
    "KeysNotUnique",
    "MappingInvalid",
    "MembershipUnclear",
    "NamedLine",
    "PipelineError",
    "PreparationFailed",
    "Prepared",
    "ReportUnwritable",
    "Selection",
    "Source",
    "SourceChanged",
    "SourceMissing",
    "SourceUnreadable",
    "TooManyProfiles",
    "UnknownSegment",
    "Verdicts",
    "batch_file_name",
    "check_coming_source",
    "check_source",
    "cut_around",
    "export_slug",
    "find_snapshot",
    "halve",
    "iter_dates",
    "list_segments",
    "open_source",
    "parse_batch_file_name",
    "prepare",
]
