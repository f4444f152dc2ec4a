"""Why an export is refused before anything is sent, for reasons that only the edges know.

    ExportRefused
    ├── UnknownConnection    no connection of that name
    └── UnknownCustomField   the account has no such custom field

Each message is one line for a person, picklable, without personal data.
"""


class ExportRefused(Exception):
    """What was asked for cannot be done; nothing was uploaded."""


class UnknownConnection(ExportRefused):
    """No connection of that name."""


class UnknownCustomField(ExportRefused):
    """The account has no such custom field."""
