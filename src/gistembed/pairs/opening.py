"""Opens whatever holds the user's rows, by what it is and what it is called."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from gistembed.errors import UserError
from gistembed.pairs.collections.folders import open_collection, open_judged_split
from gistembed.pairs.sources.arrow_tables import open_arrow, open_dataset, open_parquet, open_saved
from gistembed.pairs.sources.lines import plain_suffix
from gistembed.pairs.sources.table import Table
from gistembed.pairs.sources.text_files import begins_array, open_array, open_csv, open_jsonl, open_plain_tsv
from gistembed.pairs.wording import one_line, quoted

if TYPE_CHECKING:
    import datasets

    Source: TypeAlias = str | os.PathLike[str] | datasets.Dataset | datasets.DatasetDict | Table


_TRIPLES = "triples"
"""How the names of MS MARCO's files of texts begin, which have no line that names their columns."""


def open_table(source: "Source") -> Table:
    """Open a file, a folder, or a data set in memory; a table that is open already stays as it is.

    Raises:
        UserError: If it can't be read or doesn't tell its columns.
    """
    if isinstance(source, Table):
        return source
    if not isinstance(source, str | os.PathLike):
        return open_dataset(source)
    path, name = Path(source), one_line(os.fspath(source))
    try:
        return _open_folder(path, name) if path.is_dir() else open_file(path, name)
    except FileNotFoundError:
        raise UserError(f"{name}: there is no such file or folder.") from None
    except OSError as error:
        # Of a folder, the file that is meant is one of those in it.
        refused = name if error.filename is None else one_line(os.fsdecode(error.filename))
        raise UserError(f"{refused}: the file can't be read ({error.strerror}).") from None


def _open_folder(path: Path, name: str) -> Table:
    collection = open_collection(path, name, open_file)
    return open_saved(path, name) if collection is None else collection


def open_file(path: Path, name: str) -> Table:
    """Open a file by its ending.

    Raises:
        UserError: If the ending tells no format, or the file is not of it.
        OSError: If it can't be read.
    """
    if path.stat().st_size == 0:
        raise UserError(f"{name}: the file is empty.")
    if (judged := open_judged_split(path, name)) is not None:
        return judged
    match plain_suffix(path):
        case ".json" if begins_array(path, name):
            return open_array(path, name)
        case ".jsonl" | ".ndjson" | ".json":
            return open_jsonl(path, name)
        case ".csv":
            return open_csv(path, name, delimiter=",")
        case ".tsv" if path.name.startswith(_TRIPLES):
            return open_plain_tsv(path, name, ("query", "positive", "negative"))
        case ".tsv":
            return open_csv(path, name, delimiter="\t")
        case ".parquet":
            return open_parquet(path, name)
        case ".arrow" | ".feather":
            return open_arrow(path, name)
        case ending:
            raise UserError(
                f"{name}: the ending {quoted(ending)} doesn't tell the format. Give a .jsonl, .csv, .tsv "
                f"(also .gz or .zst), .parquet or .arrow file, or a folder of BEIR or of `datasets`."
            )
