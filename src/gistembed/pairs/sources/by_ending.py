"""Opens a file of rows by its ending."""

import stat
from pathlib import Path

from gistembed.errors import UserError
from gistembed.pairs.sources.arrow_tables import open_arrow, open_parquet
from gistembed.pairs.sources.lines import plain_suffix
from gistembed.pairs.sources.table import READABLE, Table
from gistembed.pairs.sources.text_files import begins_array, open_array, open_csv, open_jsonl, open_plain_tsv
from gistembed.pairs.wording import quoted

_TRIPLES = "triples"
"""How the names of MS MARCO's files of texts begin, which have no line that names their columns."""


def open_file(path: Path, name: str) -> Table:
    """Open a file by its ending.

    Args:
        path: The file.
        name: The file, as messages name it.

    Raises:
        UserError: If the ending tells no format, or the file is not of it.
        OSError: If it can't be read.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        # Files are read from the start more than once.
        raise UserError(f"{name}: a pipe or a device, not a file. Write what it gives to a file first.")
    if status.st_size == 0:
        raise UserError(f"{name}: the file is empty.")
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
            raise UserError(f"{name}: the ending {quoted(ending)} doesn't tell the format. Give {READABLE}.")
