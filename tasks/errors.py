"""What ends an export for reasons that only the edges know.

    ExportRefused             what was asked for cannot be done
    ├── UnknownConnection     no connection of that name
    ├── BrokenConnection      a connection was edited so that it cannot be read
    ├── NotAllowed            the connection is not for whoever runs the export
    ├── VaultUnusable         the connection's tokens cannot be read or kept
    ├── NameTaken             another connection is called so
    ├── UnknownCustomField    the account has no such custom field
    ├── QuotaTooSmall         the day's requests that are left do not suffice
    ├── SnapshotOvertaken     the list has got a newer snapshot
    ├── BackfillRefused       the range of snapshots, or the saved export, makes no sense
    └── SharedFolderUnusable  processes of this machine cannot take turns
    PrefectOutOfReach         Prefect's API does not answer, or not as it should
    Defect                    a fault of ours

Each message is one line for a person, picklable, without personal data.
"""


class ExportRefused(Exception):
    """What was asked for cannot be done; nothing was uploaded."""


class UnknownConnection(ExportRefused):
    """No connection of that name."""


class BrokenConnection(ExportRefused):
    """A connection was edited so that it cannot be read."""


class NotAllowed(ExportRefused):
    """The connection is not for whoever runs the export."""


class VaultUnusable(ExportRefused):
    """Where a connection's tokens are kept cannot be read, or not be written."""


class NameTaken(ExportRefused):
    """Another connection is called so already."""


class UnknownCustomField(ExportRefused):
    """The account has no such custom field."""


class QuotaTooSmall(ExportRefused):
    """The requests that are left of the day's quota do not suffice."""


class SnapshotOvertaken(ExportRefused):
    """The contact list has got a newer snapshot than this one."""


class BackfillRefused(ExportRefused):
    """A backfill that makes no sense as it is asked for."""


class SharedFolderUnusable(ExportRefused):
    """Processes of this machine cannot take turns."""


class PrefectOutOfReach(Exception):
    """Prefect's API does not answer, or not as it should."""


class Defect(Exception):
    """A fault of ours; says where it came up, but not what another library said of it."""
