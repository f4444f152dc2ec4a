"""What ends an export for reasons that only the edges know.

    ExportRefused             what was asked for cannot be done
    ├── UnknownConnection     no connection of that name
    ├── UnknownCustomField    the account has no such custom field
    ├── QuotaTooSmall         the day's requests that are left do not suffice
    └── SharedFolderUnusable  processes of this machine cannot take turns
    Defect                    a fault of ours

Each message is one line for a person, picklable, without personal data.
"""


class ExportRefused(Exception):
    """What was asked for cannot be done; nothing was uploaded."""


class UnknownConnection(ExportRefused):
    """No connection of that name."""


class UnknownCustomField(ExportRefused):
    """The account has no such custom field."""


class QuotaTooSmall(ExportRefused):
    """The requests that are left of the day's quota do not suffice."""


class SharedFolderUnusable(ExportRefused):
    """Processes of this machine cannot take turns."""


class Defect(Exception):
    """A fault of ours; says where it came up, but not what another library said of it."""
