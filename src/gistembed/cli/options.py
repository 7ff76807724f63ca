"""Arguments and options that several commands have, and what their values stand for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from gistembed.errors import UserError
from gistembed.terms import Role

if TYPE_CHECKING:
    from gistembed.pairs import Grades

Data = Annotated[str, typer.Argument(help="Pairs in any format that `fit` reads.")]
Out = Annotated[
    Path, typer.Argument(help="New file: .jsonl, .csv or .tsv (also with .gz or .zst), .parquet or .arrow.")
]
GuideName = Annotated[
    str, typer.Option("--guide", help="Model that guides: folder, hub name, or URL#MODEL of an endpoint.")
]
ColumnNames = Annotated[
    str | None, typer.Option("--columns", help="Columns by role: anchor=NAME,positive=NAME[,negative=NAME].")
]
MinScore = Annotated[
    float | None, typer.Option("--min-score", help="For pairs with scores or labels: positive from here on.")
]
MaxScore = Annotated[
    float | None,
    typer.Option("--max-score", help="The same: up to here, a row is a negative of its anchor."),
]
Prompts = Annotated[
    list[str] | None,
    typer.Option(
        "--prompt",
        help="What the guide reads before a text, in place of its own prompt: anchor=TEXT or document=TEXT.",
    ),
]
MaxLength = Annotated[int | None, typer.Option(help="Longest input in tokens (the guide's own).")]
KeptDtype = Annotated[str, typer.Option("--dtype", help="How vectors are kept: float16, float32 or int8.")]
RunBackend = Annotated[
    str, typer.Option("--backend", help="What runs the guide: torch, openvino or openvino-int8 (CPU).")
]
RequestsPerMinute = Annotated[
    float | None, typer.Option(help="How many requests an endpoint gets in a minute (no limit).")
]
Store = Annotated[Path | None, typer.Option("--store", help="Folder of the guides' vectors (user cache).")]
BatchSize = Annotated[int | None, typer.Option(help="Pairs that see each other (128; little data: fewer).")]
LearningRate = Annotated[float | None, typer.Option(help="Peak learning rate (2e-5; static models 2e-3).")]
Temperature = Annotated[float | None, typer.Option(help="Temperature of the loss (0.01).")]
Margin = Annotated[float | None, typer.Option(help="Margin below the threshold (0).")]
Seed = Annotated[int | None, typer.Option(help="Seed of everything random (42).")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything, write nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Results as JSON on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]


def roles_of(columns: str | None) -> Mapping[str, tuple[str, ...]] | None:
    """The columns that the user named, by role; None if none.

    Args:
        columns: What stands behind ``--columns``.

    Raises:
        UserError: If it isn't of that form.
    """
    from gistembed.pairs import parse_columns

    return None if columns is None else parse_columns(columns)


def grades_of(min_score: float | None, max_score: float | None) -> "Grades | None":
    """Which graded rows are positives and negatives.

    Args:
        min_score: Rows with at least this score are positive pairs.
        max_score: Rows with at most this score are negatives.

    Raises:
        UserError: If only the second is given, or they overlap.
    """
    from gistembed.pairs import Grades

    if min_score is not None:
        return Grades(min_score, max_score)
    if max_score is not None:
        raise UserError("--max-score: tells negatives from positives only with --min-score; give both")
    return None


def prompts_of(prompts: Sequence[str] | None) -> dict[Role, str]:
    """Prompts by role; a text keeps all of its white space.

    Args:
        prompts: What stands behind each ``--prompt``.

    Raises:
        UserError: If one isn't of the form ROLE=TEXT, or a role has two.
    """
    from gistembed.pairs.wording import quoted

    found: dict[Role, str] = {}
    for item in prompts or ():
        role, equals, text = item.partition("=")
        if role not in get_args(Role) or not equals:
            raise UserError(f"--prompt: {quoted(item)} is neither anchor=TEXT nor document=TEXT")
        if role in found:
            raise UserError(f"--prompt: {role} has two prompts; give it one")
        found[cast(Role, role)] = text
    return found


def chosen(option: str, name: str, known: tuple[str, ...]) -> Any:  # noqa: ANN401 — one of the known
    """The word that the user gave.

    Args:
        option: The option, as messages name it.
        name: The word.
        known: The words that it can be.

    Raises:
        UserError: If it is none of them.
    """
    if name not in known:
        raise UserError(f"{option} {name}: unknown; choose one of {', '.join(known)}")
    return name
