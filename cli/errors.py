"""How the command line says no: one line for a person, and the exit code of the contract."""

DELIVERED = 0
FAILED = 1
REFUSED = 2


class CommandError(Exception):
    """The command cannot go on; its text is one sentence for a person."""

    exit_code = FAILED


class CommandFailed(CommandError):
    """Something went wrong on the way."""


class CommandRefused(CommandError):
    """What was asked for cannot be done; nothing was uploaded."""

    exit_code = REFUSED


class CommandEnded(Exception):
    """The command has told its outcome by itself; its exit code is all that is left to give."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code
