"""``gistembed data mine``: add the hard negatives that a guide finds."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from gistembed.cli.data.renamed import and_renamed
from gistembed.cli.options import (
    AsJson,
    ColumnNames,
    Data,
    KeptDtype,
    MaxLength,
    MaxScore,
    MinScore,
    Out,
    Prompts,
    Quiet,
    RequestsPerMinute,
    RunBackend,
    Store,
    chosen,
    grades_of,
    prompts_of,
    roles_of,
)

if TYPE_CHECKING:
    from gistembed.mine import MiningSettings, MiningTally

# NV-Retriever's best; without any, what is closest to an anchor is often a positive that nobody marked.
_DEFAULT_MARGIN = 0.05


def mine(
    data: Data,
    out: Out,
    guide: Annotated[
        str, typer.Option(help="What scores: model folder, hub name, URL#MODEL of an endpoint, or vectors.")
    ],
    columns: ColumnNames = None,
    min_score: MinScore = None,
    max_score: MaxScore = None,
    corpus: Annotated[
        str | None, typer.Option(help="Further documents: a table of texts, or other pairs.")
    ] = None,
    corpus_column: Annotated[
        str | None, typer.Option(help="Column of the corpus that holds its texts, if it has several.")
    ] = None,
    num_negatives: Annotated[int, typer.Option(help="How many to mine for each anchor.")] = 3,
    range_min: Annotated[int, typer.Option(help="How many of the hardest to skip.")] = 0,
    range_max: Annotated[
        int | None, typer.Option(help="How many of the nearest documents to look at (all).")
    ] = None,
    absolute_margin: Annotated[
        float | None, typer.Option(help="Least distance in cosine below the positive.")
    ] = None,
    relative_margin: Annotated[
        float | None,
        typer.Option(help="The same as a share of the positive's cosine (0.05, if no margin is set)."),
    ] = None,
    positive_share: Annotated[
        float | None, typer.Option(help="Highest share of the positive's cosine.")
    ] = None,
    no_margin: Annotated[
        bool, typer.Option("--no-margin", help="Take negatives however close they are.")
    ] = False,
    max_cosine: Annotated[float | None, typer.Option(help="Highest cosine of a negative.")] = None,
    min_cosine: Annotated[float | None, typer.Option(help="Lowest cosine of a negative.")] = None,
    sampling: Annotated[
        str, typer.Option(help="top: the hardest; random: any of those up to --range-max.")
    ] = "top",
    seed: Annotated[int, typer.Option(help="Seed of what is drawn at random.")] = 42,
    too_few: Annotated[
        str, typer.Option(help="Rows that get fewer than --num-negatives: keep or drop.")
    ] = "keep",
    replace: Annotated[
        bool, typer.Option("--replace", help="Drop the negatives that rows have; else mined ones are added.")
    ] = False,
    search: Annotated[
        str, typer.Option(help="What finds the nearest: torch, or faiss with --range-max.")
    ] = "torch",
    prompts: Prompts = None,
    max_length: MaxLength = None,
    dimensions: Annotated[int | None, typer.Option(help="First numbers of a vector to keep (all).")] = None,
    dtype: KeptDtype = "float16",
    backend: RunBackend = "torch",
    requests_per_minute: RequestsPerMinute = None,
    store: Store = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be encoded and compared.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Add to each row of DATA documents that the guide finds close to its anchor, and write the rows to OUT.

    Documents are all positives and negatives of DATA, and those of the corpus. A row never gets its anchor's
    own text or one of the anchor's known positives; how much further away than the least similar of these a
    document must be is what the margins say. Vectors are kept in the store, where training finds them again.
    """
    from gistembed.console import Console
    from gistembed.errors import UserError
    from gistembed.guide import GuideSettings
    from gistembed.mine import MiningJob, MiningSettings, Sampling, Search, TooFew, plan_mining, run_mining
    from gistembed.pairs.wording import counted
    from gistembed.terms import Backend, VectorDtype

    margins = (absolute_margin, relative_margin, positive_share)
    if no_margin and any(margin is not None for margin in margins):
        raise UserError("--no-margin: a margin is set too; keep one of the two")
    if not no_margin and all(margin is None for margin in margins):
        relative_margin = _DEFAULT_MARGIN
    if corpus_column is not None and corpus is None:
        raise UserError("--corpus-column: there is no corpus; give one with --corpus, or leave it out")
    settings = MiningSettings(
        num_negatives=num_negatives,
        range_min=range_min,
        range_max=range_max,
        absolute_margin=absolute_margin,
        relative_margin=relative_margin,
        positive_share=positive_share,
        max_cosine=max_cosine,
        min_cosine=min_cosine,
        sampling=chosen("--sampling", sampling, get_args(Sampling)),
        seed=seed,
        too_few=chosen("--too-few", too_few, get_args(TooFew)),
        replace=replace,
        search=chosen("--search", search, get_args(Search)),
    )
    job = MiningJob(
        data,
        out,
        GuideSettings(
            guide,
            prompts=prompts_of(prompts),
            max_length=max_length,
            dimensions=dimensions,
            requests_per_minute=requests_per_minute,
            backend=chosen("--backend", backend, get_args(Backend)),
        ),
        settings,
        columns=roles_of(columns),
        grades=grades_of(min_score, max_score),
        corpus=corpus,
        corpus_column=corpus_column,
        store=store,
        dtype=chosen("--dtype", dtype, get_args(VectorDtype)),
    )
    if dry_run:
        plan = plan_mining(job)
        line = (
            f"{counted(plan.anchors, 'anchor')}, {counted(plan.documents, 'document')} that may be "
            f"negatives; {counted(plan.missing, 'text')} to be encoded; nothing was written"
        )
        typer.echo(json.dumps(asdict(plan)) if as_json else line)
        return
    tally = run_mining(job, Console(quiet=quiet or as_json))
    typer.echo(json.dumps(_found(out, tally), ensure_ascii=False) if as_json else _line(out, tally, settings))


def _found(out: Path, tally: "MiningTally") -> dict[str, object]:
    return {
        "file": str(out),
        "rows": tally.rows,
        "negatives": tally.mined.count,
        "with_fewer": tally.with_fewer,
        "with_none": tally.with_none,
        "dropped": tally.dropped,
        "own_positive": tally.own_positive,
        "weightless": tally.weightless,
        "mean_positive": tally.positives.value,
        "mean_negative": tally.mined.value,
        "renamed": tally.renamed,
    }


def _line(out: Path, tally: "MiningTally", settings: "MiningSettings") -> str:
    from gistembed.pairs.wording import counted

    parts = [f"{counted(tally.rows, 'row')} with {counted(tally.mined.count, 'mined negative')} in {out}"]
    parts.append(f"mean cosine {tally.mined.value:.3f}, of the positives {tally.positives.value:.3f}")
    if tally.with_fewer or tally.with_none:
        became = "left out" if settings.too_few == "drop" else "kept"
        parts.append(
            f"{counted(tally.with_fewer, 'row')} got fewer than {settings.num_negatives} and "
            f"{tally.with_none:,} got none: {became}"
        )
    if tally.own_positive:
        parts.append(f"{counted(tally.own_positive, 'row')} left out whose positive is the anchor")
    if tally.weightless:
        parts.append(f"{counted(tally.weightless, 'row')} left out whose weight is 0")
    return "; ".join(parts) + and_renamed(tally.renamed)
