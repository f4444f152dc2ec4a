"""The whole preparation of an export behind one call."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.batches import ContactBatch, iter_batches
from pipeline.contacts import judge
from pipeline.delivery import delivery_key, export_slug
from pipeline.duplicates import check_newest_by
from pipeline.errors import ContactAllowanceExceeded
from pipeline.fields import check_columns
from pipeline.guard import in_own_words, iter_in_own_words
from pipeline.mapping import ContactMapping, Selection
from pipeline.refusals import NamedLine, count_refused, reject_refused, report_named_lines
from pipeline.segments import Membership, find_membership, select_members
from pipeline.source import Table, open_table
from pipeline.verdicts import Verdicts
from schemas.contact import RULES_VERSION
from schemas.export import ExportRequest


@dataclass(frozen=True, slots=True)
class Source:
    """What an export reads, found and checked by footers only: no row has been read."""

    selection: Selection
    mapping: ContactMapping
    profiles: Table
    membership: Membership

    @property
    def most_contacts(self) -> int:
        """Tell how many contacts there are at most."""
        members = self.membership.tables()
        rows = sum(table.rows for table in members)
        return min(self.profiles.rows, rows) if members else self.profiles.rows

    def delivery(self, list_id: str) -> str:
        """Give the 12-digit key of delivering exactly this to the given list.

        It is the same on every machine, and another one as soon as list, mapping, segments or a
        file of the source is another.
        """
        return delivery_key(
            {
                "rules": RULES_VERSION,
                "list_id": list_id,
                "email": self.mapping.email,
                "fields": [[field.column, field.heading] for field in self.mapping.fields],
                "newest_by": self.mapping.newest_by,
                "customer_id": self.selection.customer_id,
                "segments": list(self.selection.segments),
                "segments_column": self.membership.column,
                "as_of": self.selection.as_of,
                "profiles": self.profiles.snapshot(),
                "memberships": [table.snapshot() for table in self.membership.tables()],
            }
        )


@dataclass(frozen=True, slots=True)
class Prepared:
    """An export whose every profile has its verdict, ready to be handed out in batches.

    Attributes:
        members_without_profile: customers in the segments whom the profiles do not hold.
        export_name: the first part of the batches' file names.
    """

    selection: Selection
    mapping: ContactMapping
    verdicts: Verdicts
    members_without_profile: int
    export_name: str
    profiles: Table
    membership: Membership

    def delivery(self, list_id: str) -> str:
        """Give the key of delivering exactly this to the given list."""
        return Source(self.selection, self.mapping, self.profiles, self.membership).delivery(
            list_id
        )

    def require_allowance(self, contact_allowance: int | None) -> None:
        """Raise ContactAllowanceExceeded where the customer's contract allows fewer contacts."""
        if contact_allowance is not None and self.verdicts.sent > contact_allowance:
            raise ContactAllowanceExceeded(
                f"The delivery holds {self.verdicts.sent:,} contacts and the connection's contract "
                f"allows {contact_allowance:,}: export smaller segments or raise the connection's "
                "allowance."
            )

    def without_refused(self, positions: Sequence[int]) -> "Prepared":
        """Give the same export with contacts counted and reported as refused by the API.

        Args:
            positions: of these contacts in the delivery, from 0.

        Raises PipelineError.
        """
        verdicts = in_own_words(
            lambda: reject_refused(
                self.profiles, self.verdicts, positions, self.selection, self.mapping
            )
        )
        return replace(self, verdicts=verdicts)

    def counting_refused(self, contacts: int) -> "Prepared":
        """Give the same export with contacts counted as refused, without saying who they are."""
        return replace(self, verdicts=count_refused(self.verdicts, contacts))

    def report_not_imported(self, lines: Sequence[NamedLine], folder: Path) -> Path:
        """Write `not_imported.parquet`: the profiles behind lines that activities name as errors.

        Positions count contacts as the batches were cut. Raises PipelineError.
        """
        return in_own_words(
            lambda: report_named_lines(
                self.profiles,
                self.verdicts.sent_rows,
                lines,
                self.selection,
                self.mapping,
                folder,
            )
        )

    def iter_batches(self, max_body_bytes: int) -> Iterator[ContactBatch]:
        """Yield the contact batches, the first long before the last is made.

        The same input gives the same batches, byte for byte. Raises PipelineError, such as
        SourceChanged.
        """
        return iter_in_own_words(
            iter_batches(
                self.profiles,
                self.verdicts.sent_rows,
                self.mapping,
                max_body_bytes=max_body_bytes,
            )
        )


def open_source(request: ExportRequest) -> Source:
    """Find what an export reads, and refuse what settings, columns and footers show to be wrong.

    Raises PipelineError, SourceMissing among them.
    """
    return in_own_words(lambda: _open_source(request))


def _open_source(request: ExportRequest) -> Source:
    selection = Selection.from_request(request)
    mapping = ContactMapping.from_request(request)
    profiles = open_table(selection.profiles)
    check_columns(profiles, selection, mapping)
    if mapping.newest_by:
        check_newest_by(profiles, mapping.newest_by)
    return Source(selection, mapping, profiles, find_membership(profiles, selection))


def prepare(
    request: ExportRequest,
    *,
    report_dir: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Decide what becomes of every profile in the segments; nothing is sent.

    What settings, columns and files can show to be wrong is refused before any row is read.

    Args:
        request: the export as asked for.
        report_dir: folder for `rejects.parquet` and `amended.parquet`; None writes nothing.
        on_progress: told rows done and rows in all, a few times a second at most.

    Raises PipelineError, and PreparationFailed in place of anything unforeseen.
    """
    return in_own_words(lambda: _prepare(request, report_dir, on_progress))


def _prepare(
    request: ExportRequest,
    report_dir: Path | None,
    on_progress: Callable[[int, int], None] | None,
) -> Prepared:
    source = _open_source(request)
    selection, mapping = source.selection, source.mapping
    profiles, membership = source.profiles, source.membership
    members = select_members(profiles, membership, selection)
    verdicts = judge(
        profiles,
        members.rows,
        selection,
        mapping,
        report_dir=report_dir,
        on_progress=on_progress,
    )
    return Prepared(
        selection=selection,
        mapping=mapping,
        verdicts=verdicts,
        members_without_profile=members.without_profile,
        export_name=export_slug(request.name or "-".join(selection.segments)),
        profiles=profiles,
        membership=membership,
    )
