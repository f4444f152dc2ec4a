"""Ask a source what it holds, without judging a single profile."""

from datetime import UTC, datetime

from pipeline.duplicates import check_newest_by
from pipeline.errors import PipelineError, SourceMissing
from pipeline.fields import check_columns
from pipeline.guard import in_own_words
from pipeline.locations import find_files
from pipeline.mapping import ContactMapping, Selection
from pipeline.segment_names import NamesJudge, find_values, look_like_segments
from pipeline.segments import Membership, find_membership, segment_of
from pipeline.source import Table, open_table
from schemas.export import ExportRequest
from schemas.locations import holds_date


def check_source(request: ExportRequest) -> None:
    """Check files, columns and segment names; only the column of segments is read.

    Raises what `prepare` raises for them: PipelineError, such as ColumnMissing or UnknownSegment.
    """
    in_own_words(lambda: _check(request))


def check_coming_source(request: ExportRequest) -> str:
    """Check a source as `check_source` does, but for files of a date, which may come later.

    Returns why columns and segments could not be checked; nothing where they were. What has no
    date in its path has to be there.
    """
    return in_own_words(lambda: _check_coming(request))


def list_segments(request: ExportRequest) -> list[str]:
    """List the segments that a source has, sorted; none where they cannot be read.

    None either where the column does not look like one of segments, and never a name that looks
    like an address or a number: it may be personal data.
    """
    try:
        names = in_own_words(lambda: _list(request))
    except PipelineError:
        return []
    return sorted(names - find_values(names)) if look_like_segments(names) else []


def _check(request: ExportRequest) -> None:
    profiles, selection, membership = _open(request)
    mapping = ContactMapping.from_request(request)
    check_columns(profiles, selection, mapping)
    if mapping.newest_by:
        check_newest_by(profiles, mapping.newest_by)
    if (judge := _judge(profiles, membership, selection)) is not None:
        table, column = _names_in(profiles, membership)
        for _, frame in table.iter_slices([column]):
            judge.is_member(frame[column])
        judge.finish()


def _check_coming(request: ExportRequest) -> str:
    dates = [holds_date(request.profiles), holds_date(request.memberships)]
    if not any(dates):
        _check(request)
        return ""
    any_date = {"as_of": request.as_of or f"{datetime.now(UTC):%Y-%m-%d}"}
    dated = request.model_copy(update=any_date)
    selection = Selection.from_request(dated)
    ContactMapping.from_request(dated)
    tables = ((selection.profiles, "profiles"), (selection.memberships, "memberships"))
    for (location, what), has_date in zip(tables, dates, strict=True):
        if location and not has_date:
            find_files(location, what)
    if not request.as_of:
        return "no snapshot date is given."
    try:
        _check(dated)
    except SourceMissing as error:
        return str(error)
    return ""


def _list(request: ExportRequest) -> set[str]:
    profiles, selection, membership = _open(request)
    judge = _judge(profiles, membership, selection)
    if judge is not None:
        return judge.all_names()
    return {segment_of(file.name) for file in find_files(selection.memberships, "memberships")}


def _open(request: ExportRequest) -> tuple[Table, Selection, Membership]:
    selection = Selection.from_request(request)
    profiles = open_table(selection.profiles)
    return profiles, selection, find_membership(profiles, selection)


def _judge(profiles: Table, membership: Membership, selection: Selection) -> NamesJudge | None:
    """Give who reads segment names; nobody where each segment is a table, named after it."""
    if membership.folders is not None:
        return None
    return NamesJudge(
        *_names_in(profiles, membership),
        selection.segments,
        has_name_a_row=membership.has_name_a_row,
    )


def _names_in(profiles: Table, membership: Membership) -> tuple[Table, str]:
    if membership.table is not None:
        return membership.table, membership.names_column
    return profiles, membership.column
