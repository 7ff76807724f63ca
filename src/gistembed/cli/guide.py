"""``gistembed guide``: encode ahead of training, and care for the store of vectors."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from gistembed.cli.options import (
    AsJson,
    ColumnNames,
    GuideName,
    KeptDtype,
    MaxLength,
    MaxScore,
    MinScore,
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
    from gistembed.console import Console
    from gistembed.guide import GuideStore

guide = typer.Typer(
    help="Encode texts with a guide ahead of training; look into, check, merge and export its vectors.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_Folder = Annotated[
    str | None, typer.Option("--only", help="One guide of several: its name, or the start of its folder's.")
]

_NAMELESS = (
    "damaged or missing, so nobody can tell whose vectors lie beside it; a run that encodes with their guide "
    "writes it anew"
)
_NO_KNOWN_GUIDE = "holds vectors, but of no known guide; `gistembed guide verify` says more"


@guide.command()
def encode(
    data: Annotated[
        list[str], typer.Argument(help="Pairs in any format that `fit` reads; or several of these.")
    ],
    model: GuideName,
    columns: ColumnNames = None,
    min_score: MinScore = None,
    max_score: MaxScore = None,
    instructions: Annotated[
        str, typer.Option(help="Instructions beside texts: ignore, or prefix to put them before the texts.")
    ] = "ignore",
    prompts: Prompts = None,
    max_length: MaxLength = None,
    dimensions: Annotated[
        int | None, typer.Option(help="First numbers of a vector to keep, or to ask an endpoint for (all).")
    ] = None,
    dtype: KeptDtype = "float16",
    backend: RunBackend = "torch",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that encode (one for each GPU, or one).")
    ] = None,
    on_ray: Annotated[
        bool, typer.Option("--ray", help="Encode on a Ray cluster; --store must be shared by its machines.")
    ] = False,
    requests_per_minute: RequestsPerMinute = None,
    price: Annotated[
        float | None, typer.Option(help="What an endpoint takes for a million tokens, for the estimate.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be encoded, and what it costs.")
    ] = False,
    store: Store = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Encode what the store lacks of the texts of DATA, so that a run finds them there.

    DATA is read as `fit` reads it: a run with the same settings has nothing left to encode. What is done when
    the command is interrupted stays done.
    """
    from gistembed.console import Console
    from gistembed.errors import UserError
    from gistembed.guide import GuideSettings, default_store, do_work, is_endpoint, prepare_work
    from gistembed.pairs.read import Instructions
    from gistembed.pairs.wording import counted
    from gistembed.prepare.pairs import ReadSettings, read_data
    from gistembed.terms import Backend, VectorDtype

    console = Console(quiet=quiet or as_json)
    reading = ReadSettings(
        roles_of(columns),
        grades_of(min_score, max_score),
        chosen("--instructions", instructions, get_args(Instructions)),
    )
    pairs = read_data(data, reading, console)
    settings = GuideSettings(
        model,
        prompts=prompts_of(prompts),
        max_length=max_length,
        dimensions=dimensions,
        requests_per_minute=requests_per_minute,
        backend=chosen("--backend", backend, get_args(Backend)),
    )
    if is_endpoint(model) and (workers is not None or on_ray):
        option = "--ray" if on_ray else "--workers"
        raise UserError(
            f"{option}: an endpoint is asked by one process, several requests at a time; leave it out"
        )
    if price is not None and not is_endpoint(model):
        raise UserError("--price: the guide is a model, which takes nothing; leave it out")
    work = prepare_work(
        settings, store or default_store(), pairs, dtype=chosen("--dtype", dtype, get_args(VectorDtype))
    )
    texts, missing, folder = work.plan.distinct, len(work.missing), work.store.folder
    if (estimate := work.estimate(price)) is not None:
        console.say(f"to be sent: {estimate}")
    if dry_run:
        found = {"folder": str(folder), "texts": texts, "missing": missing}
        line = f"{counted(texts, 'text')}, {missing:,} of them to be encoded; nothing was written"
        _tell(found, line, as_json)
        return
    do_work(work, console, workers=workers, on_ray=on_ray)
    found = {"folder": str(folder), "texts": texts, "encoded": missing}
    line = f"{counted(texts, 'text')}, {missing:,} of them encoded now; vectors in {folder}"
    _tell(found, line, as_json)


@guide.command()
def info(store: Store = None, as_json: AsJson = False) -> None:
    """Say what is in the store: which guides, how many vectors, how large."""
    from gistembed.cli.tables import store_table
    from gistembed.console import Console

    console = Console(quiet=as_json)
    stores, nameless = _stores(store, None, console)
    found: list[dict[str, Any]] = [_described(one) for one in stores]
    if as_json:
        found += [
            {"guide": None, "folder": str(folder), "damaged": {str(folder / "guide.json"): _NAMELESS}}
            for folder in nameless
        ]
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        console.show(store_table(found))


@guide.command()
def verify(store: Store = None, only: _Folder = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Read every vector and compare it with its checksum; exit code 1 unless all can be read and is sound."""
    from gistembed.console import Console
    from gistembed.guide import verify as check
    from gistembed.pairs.wording import counted

    console = Console(quiet=quiet or as_json)
    found: list[dict[str, Any]] = []
    damaged = unreadable = 0
    stores, nameless = _stores(store, only, console)
    for one in stores:
        with console.stage(f"check {one.folder.name[:8]}", len(one), passing=True) as progress:
            result = check(one, progress)
        damaged += len(result.damaged)
        unreadable += len(result.unreadable)
        for path, reason in result.damaged.items():
            console.warn(f"{path}: {reason}")
        found.append(
            {
                "folder": str(one.folder),
                "vectors": result.vectors,
                "lost": result.lost,
                "damaged": {str(path): reason for path, reason in result.damaged.items()},
                "unreadable": {str(path): reason for path, reason in result.unreadable.items()},
            }
        )
    found += [
        {
            "folder": str(folder),
            "vectors": 0,
            "lost": 0,
            "damaged": {str(folder / "guide.json"): _NAMELESS},
            "unreadable": {},
        }
        for folder in nameless
    ]
    line = f"{sum(one['vectors'] for one in found):,} vectors are sound"
    if damaged:
        removed = "`gistembed guide compact` removes what is damaged, and the next run encodes it again"
        line += f", {counted(damaged, 'file')} damaged; {removed}"
    if unreadable:
        them = "it" if unreadable == 1 else "them"
        line += (
            f", {counted(unreadable, 'file')} not readable and so not checked; allow yourself to read {them}"
        )
    if nameless:
        line += f", {counted(len(nameless), 'folder')} of no known guide and so not checked"
    _tell(found, line, as_json)
    if damaged or unreadable or nameless:
        raise typer.Exit(1)


@guide.command()
def compact(store: Store = None, only: _Folder = None, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Merge the files of each guide into one, without what is damaged or there twice."""
    from gistembed.console import Console
    from gistembed.guide import compact as merge

    console = Console(quiet=quiet or as_json)
    found, lines = [], []
    for one in _stores(store, only, console)[0]:
        with console.stage(f"merge {one.folder.name[:8]}", len(one), passing=True) as progress:
            result = merge(one, progress)
        found.append({"folder": str(one.folder), **vars(result)})
        lines.append(
            f"{one.folder}: {result.vectors:,} vectors, {result.shards_before:,} files became "
            f"{result.shards_after:,}, {result.freed / 1e6:,.1f} MB freed"
        )
    _tell(found, "\n".join(lines), as_json)


@guide.command()
def export(
    out: Annotated[Path, typer.Argument(help="File to write: .parquet or .npy.")],
    store: Store = None,
    only: _Folder = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write all vectors of a guide to one file, in the order of their keys."""
    from gistembed.console import Console
    from gistembed.errors import UserError
    from gistembed.guide import default_store
    from gistembed.guide import export as write

    console = Console(quiet=quiet or as_json)
    stores, _ = _stores(store, only, console)
    if not stores:
        raise UserError(f"--store {store or default_store()}: {_NO_KNOWN_GUIDE}")
    if len(stores) > 1:
        names = ", ".join(f"{one.folder.name[:8]} ({one.name})" for one in stores)
        raise UserError(f"--only: the store holds {len(stores)} guides; choose one of {names}")
    with console.stage("export", len(stores[0]), passing=True) as progress:
        vectors = write(stores[0], out, progress)
    _tell({"file": str(out), "vectors": vectors}, f"{vectors:,} vectors in {out}", as_json)


def _stores(root: Path | None, only: str | None, console: "Console") -> "tuple[list[GuideStore], list[Path]]":
    """The stores, and folders of no known guide; a word about all that is not used and yet not damaged."""
    from gistembed.errors import UserError
    from gistembed.guide import default_store, nameless_in, stores_in

    root = root or default_store()
    stores, nameless = stores_in(root), nameless_in(root)
    if only is not None:
        nameless = [folder for folder in nameless if only and folder.name.startswith(only)]
        stores = [one for one in stores if one.name == only or (only and one.folder.name.startswith(only))]
        if not stores and not nameless:
            raise UserError(f"--only {only}: no such guide; `gistembed guide info` lists them")
    for folder in nameless:
        console.warn(f"{folder / 'guide.json'}: {_NAMELESS}")
    for one in stores:
        for path, reason in one.summary().unreadable.items():
            console.warn(f"{path}: can't be read ({reason}); it is left as it is")
    return stores, nameless


def _described(store: "GuideStore") -> dict[str, Any]:
    summary, identity = store.summary(), store.identity
    return {
        "guide": store.name,
        "folder": str(summary.folder),
        "vectors": summary.vectors,
        "dimensions": identity.dimensions,
        "dtype": identity.dtype,
        "backend": identity.backend,
        "max_length": identity.max_length,
        "files": summary.shards,
        "bytes": summary.bytes,
        "damaged": {str(path): reason for path, reason in summary.damaged.items()},
        "unreadable": {str(path): reason for path, reason in summary.unreadable.items()},
    }


def _tell(found: object, line: str, as_json: bool) -> None:
    typer.echo(json.dumps(found, ensure_ascii=False) if as_json else line)
