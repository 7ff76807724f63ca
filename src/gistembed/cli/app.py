"""The commands, and what becomes of every way in which they can end."""

import errno
import os
import shlex
import sys
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from gistembed import __version__
from gistembed.cli.fit import fit
from gistembed.errors import StorageError, UserError

app = typer.Typer(
    name="gistembed",
    help="Fine-tune a text embedding model on your own pairs, with a guide that keeps false negatives out.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(fit)

# What typer makes of Ctrl-C.
_INTERRUPTED = 130


def _show_version(wanted: bool | None) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool | None,
        typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True),
    ] = None,
) -> None:
    """Options that stand before the command."""


def main() -> NoReturn:
    """Run the command line and exit: 0 done, 2 a mistake of the user, 4 the disk refused, 130 interrupted."""
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False) or 0
    except TyperException as error:
        _fail(error.format_message(), error.exit_code)
    except UserError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        place = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        _fail(f"{place}{error.strerror}; free space, then go on with --resume", StorageError.exit_code)
    if code == _INTERRUPTED:
        _fail(f"interrupted; go on with: {_resume_command()}", code)
    sys.exit(code)


def _resume_command() -> str:
    arguments = [argument for argument in sys.argv[1:] if argument != "--resume"]
    return shlex.join(["gistembed", *arguments, "--resume"])


def _fail(message: str, code: int) -> NoReturn:
    print(f"gistembed: {message}", file=sys.stderr)  # noqa: T201 — the one place that speaks for every command
    sys.exit(code)
