"""The exceptions that are meant for a person's eyes."""


class UserError(ValueError):
    """A mistake that the person who runs the program can mend.

    Its text is one line: where (``file:line: column`` where there is one), what is wrong, what to do.
    The command line prints it without a traceback and exits with `exit_code`.
    """

    exit_code = 2


class StorageError(UserError):
    """The disk refused: full, read-only or gone. What was committed before is whole."""

    exit_code = 4


class Terminated(SystemExit):
    """The process was told to end, by SIGTERM; what is done so far is kept, as after Ctrl-C."""

    def __init__(self) -> None:
        """Whatever doesn't catch it exits with 143, as a shell says of SIGTERM."""
        super().__init__(143)
