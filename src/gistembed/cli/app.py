"""The commands, and what becomes of every way in which they can end."""

import shlex
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from gistembed import __version__
from gistembed.cli.blend import blend
from gistembed.cli.compare import compare
from gistembed.cli.cotrain import cotrain
from gistembed.cli.data import data
from gistembed.cli.evaluate import evaluate
from gistembed.cli.export import export
from gistembed.cli.fit import fit
from gistembed.cli.guide import guide
from gistembed.cli.quantise import quantise
from gistembed.cli.search import search
from gistembed.cli.selftest import selftest
from gistembed.cli.sweep import sweep
from gistembed.errors import Terminated, UserError
from gistembed.files import storage_error
from gistembed.signals import ends_when_terminated

app = typer.Typer(
    name="gistembed",
    help="Fine-tune a text embedding model on your own pairs, with a guide that keeps false negatives out.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(fit)
app.command()(cotrain)
app.command()(search)
app.command()(evaluate)
app.command()(compare)
app.command()(selftest)
app.command()(sweep)
app.command()(blend)
app.command()(export)
app.command()(quantise)
app.add_typer(data, name="data")
app.add_typer(guide, name="guide")

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
    """Run the command line and exit.

    0 done, 1 a check failed, 2 a mistake of the user, 4 the disk refused, 130 interrupted, 143 terminated.
    """
    try:
        _check_text(sys.argv[1:])
        with ends_when_terminated():
            code = app(sys.argv[1:] or ["--help"], standalone_mode=False) or 0
    except TyperException as error:
        _fail(error.format_message(), error.exit_code)
    except UserError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:
        refused = storage_error(error)
        _fail(str(refused), refused.exit_code)
    except Terminated as ended:
        _fail(f"terminated; {_what_became()}", int(ended.code or 0))
    if code == _INTERRUPTED:
        _fail(f"interrupted; {_what_became()}", code)
    sys.exit(code)


def _check_text(words: Sequence[str]) -> None:
    """Refuse what can't be kept in records and shown in reports."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise UserError(f"{word!r}: not UTF-8; give text, or rename the file, in UTF-8") from None


def _what_became() -> str:
    """What became of the work that was stopped, and how to go on."""
    given = sys.argv[1:]
    if "--dry-run" in given:
        return "nothing was written"
    program = [sys.executable, "-m", "gistembed"] if sys.argv[0].endswith("__main__.py") else ["gistembed"]
    match given:
        case ["fit" | "cotrain" | "search" | "sweep", *_]:
            again = [*(one for one in given if one != "--resume"), "--resume"]
            return f"go on with: {shlex.join([*program, *again])}"
        case ["evaluate", *_]:
            became = "what is scored stays; go on with"
        case ["guide", "encode", *_]:
            became = "what is encoded stays; go on with"
        case ["data", "mine" | "mtebcls" | "medi", *_]:
            became = "OUT was not written, what is encoded stays; go on with"
        case ["data", "doctor", *_] if any(one.partition("=")[0] == "--fix" for one in given):
            became = "the copy is written whole or not at all; if it isn't there, start again with"
        case ["data", "convert", *_]:
            became = "OUT was not written; start again with"
        case _:
            became = "nothing is half-written; start again with"
    return f"{became}: {shlex.join([*program, *given])}"


def _fail(message: str, code: int) -> NoReturn:
    print(f"gistembed: {message}", file=sys.stderr)  # noqa: T201 — the one place that speaks for every command
    sys.exit(code)
