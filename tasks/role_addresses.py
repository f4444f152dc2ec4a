"""Remark how many contacts have an address to which Constant Contact sends no mail."""

from pipeline import ContactBatch
from schemas.role_addresses import count_role_addresses
from tasks.session import ExportSession


def look_for_roles(session: ExportSession, batch: ContactBatch) -> None:
    """Count the role addresses of a batch, accepted or not; takes milliseconds."""
    session.role_addresses[batch.number] = count_role_addresses(batch.body)


def note_role_addresses(session: ExportSession) -> None:
    """Tell how many there are in the batches that have been cut, if any."""
    if found := sum(session.role_addresses.values()):
        session.note(
            "Contacts with the address of a role (such as sales@) or of a mailing list, to which "
            f"Constant Contact sends no mail though they count as contacts: {found:,}."
        )
