"""Which formats there are, and which kinds of files each of them fits into."""

from pathlib import Path

from gistembed.errors import UserError
from gistembed.pairs.sources.lines import PACKED, plain_suffix
from gistembed.pairs.wording import quoted
from gistembed.pairs.writing import layouts
from gistembed.pairs.writing.containers import FLAT, NESTED, PACKING
from gistembed.pairs.writing.layouts import Layout

_LAYOUTS: dict[str, Layout] = {
    "pairs": layouts.Lists(),
    "sentence-transformers": layouts.SentenceTransformers(),
    "flagembedding": layouts.FlagEmbedding(),
    "medi": layouts.Medi(),
    "medi-flat": layouts.FlatMedi(),
    "tevatron": layouts.Tevatron(),
    "labelled": layouts.Labelled(),
    "triples": layouts.Triples(),
}
FORMATS = (*_LAYOUTS, "beir")


def layout_of(path: Path, format: str, *, name: str | None = None) -> Layout | None:
    """How records are laid out in a file of this ending; None for a folder of BEIR.

    Args:
        path: The file or folder.
        format: One of `FORMATS`.
        name: What messages call it; the path by default.

    Raises:
        UserError: If the ending doesn't fit the format, or tells no kind of file.
    """
    name, suffix = name or str(path), plain_suffix(path)
    if format == "beir":
        if path.suffix:
            raise UserError(f"{name}: beir is a folder; give a name without an ending")
        return None
    if format == "triples" and suffix != ".tsv":
        raise UserError(f"{name}: triples are a .tsv file, whose name begins with 'triples' to be read again")
    if suffix not in (*NESTED, *FLAT):
        known = ", ".join((*NESTED, *FLAT))
        raise UserError(f"{name}: the ending {quoted(suffix)} tells no format; choose one of {known}")
    if suffix in PACKING and path.suffix.lower() in PACKED:
        raise UserError(f"{name}: a {suffix} file is packed by itself; leave {quoted(path.suffix)} out")
    layout = _LAYOUTS[format]
    if suffix in FLAT and format == "pairs":
        return layouts.Columns()
    if suffix in FLAT and not layout.flat:
        kinds = ", ".join(NESTED)
        raise UserError(f"{name}: {format} holds lists, which a {suffix} file can't; choose one of {kinds}")
    return layout
