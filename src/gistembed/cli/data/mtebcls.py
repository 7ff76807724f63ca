"""``gistembed data mtebcls``: triplets from classification tasks, as the paper made its MTEBcls."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gistembed.cli.data.encoding import encoded
from gistembed.cli.options import AsJson, GuideName, Out, Quiet, Store

if TYPE_CHECKING:
    from gistembed.build import ClassTriplets, LabelledTexts


def mtebcls(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Texts with classes in any format that `fit` reads, or mteb:TASK. "
            "Each is a task of its own.",
            metavar="SOURCE",
        ),
    ],
    out: Out,
    model: GuideName,
    columns: Annotated[
        str | None, typer.Option(help="Columns of all sources by role: text=NAME,label=NAME.")
    ] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option("--task", help="A source's name as a task, in the order of sources (the file's name)."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of all draws.")] = 1029,
    topk: Annotated[
        int, typer.Option(help="A positive is one of so many most similar texts of its class.")
    ] = 100,
    temperature: Annotated[
        float, typer.Option(help="The lower, the likelier the most similar is the positive.")
    ] = 0.05,
    skip_malformed: Annotated[
        bool, typer.Option("--skip-malformed", help="Leave out rows without a text or class, and name each.")
    ] = False,
    store: Store = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make a triplet of each text: a similar text of its class, and any text of another class.

    Texts alone in their class are left out, and triplets in which a text meets itself.
    """
    from gistembed.build import (
        DrawSettings,
        class_triplets,
        parse_label_columns,
        texts_to_encode,
    )
    from gistembed.console import Console
    from gistembed.errors import UserError
    from gistembed.pairs import check_out, write_rows

    console = Console(quiet=quiet or as_json)
    check_out(out)
    settings = DrawSettings(seed, topk, temperature)
    roles = parse_label_columns(columns) if columns is not None else None
    labelled = _read(sources, tasks or [], roles, skip_malformed)
    for problem in (problem for one in labelled for problem in one.problems()):
        console.warn(problem)
    vectors = encoded(model, store, texts_to_encode(labelled), console)
    found = []
    for one in labelled:
        with console.stage(f"draw, {one.task}", len(one)) as progress:
            found.append(class_triplets(one, vectors, settings, progress))
    if not any(map(len, found)):
        raise UserError(
            f"{_line(found, out).splitlines()[0]}. No triplet is left; give texts that differ within a class."
        )
    count = write_rows((row for one in found for row in one.rows()), out)
    result = {"file": str(out), "rows": count, "guide": model, "tasks": [_described(one) for one in found]}
    typer.echo(json.dumps(result, ensure_ascii=False) if as_json else _line(found, out))


def _read(
    sources: list[str], names: list[str], columns: dict[str, str] | None, skip_malformed: bool
) -> "list[LabelledTexts]":
    """All sources, their texts in one table."""
    from gistembed.build import is_mteb, read_labelled, read_mteb
    from gistembed.errors import UserError
    from gistembed.pairs import Texts
    from gistembed.pairs.join import source_names
    from gistembed.pairs.wording import counted

    if names and len(names) != len(sources):
        raise UserError(
            f"--task: {counted(len(names), 'name')} for {counted(len(sources), 'source')}; give one for "
            "each, in order"
        )
    texts, read = Texts(), []
    for number, source in enumerate(sources):
        name = names[number] if names else None
        if is_mteb(source):
            read.append(read_mteb(source, task=name, texts=texts, skip_malformed=skip_malformed))
        else:
            task = name or source_names([source])[0]
            read.append(
                read_labelled(source, task=task, columns=columns, texts=texts, skip_malformed=skip_malformed)
            )
    tasks = [one.task for one in read]
    for task in tasks:
        if tasks.count(task) > 1:
            raise UserError(f"--task: {tasks.count(task)} sources are named {task!r}; name each with --task")
    return read


def _described(found: "ClassTriplets") -> dict[str, Any]:
    labelled = found.labelled
    return {
        "task": labelled.task,
        "source": labelled.source,
        "texts": len(labelled),
        "classes": len(labelled.classes),
        "rows": len(found),
        "malformed": labelled.problems(),
        "alone_in_class": found.alone,
        "same_text": found.same_text,
    }


def _line(found: "list[ClassTriplets]", out: Path) -> str:
    from gistembed.pairs.wording import counted

    lines = [
        f"{one.labelled.task}: {counted(len(one), 'triplet')} from {counted(len(one.labelled), 'text')} of "
        f"{counted(len(one.labelled.classes), 'class', 'classes')}; left out: "
        f"{len(one.labelled.malformed):,} malformed, {one.alone:,} alone in their class, "
        f"{one.same_text:,} that would meet their own text"
        for one in found
    ]
    return "\n".join([*lines, f"{counted(sum(map(len, found)), 'triplet')} in {out}"])
