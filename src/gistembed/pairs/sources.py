"""Opens whatever holds the user's rows, by what it is and what it is called."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from gistembed.errors import UserError
from gistembed.pairs.arrow_tables import open_dataset, open_parquet, open_saved
from gistembed.pairs.table import Table
from gistembed.pairs.text_files import open_csv, open_jsonl
from gistembed.pairs.wording import one_line, quoted

if TYPE_CHECKING:
    import datasets


def open_table(source: "str | os.PathLike[str] | datasets.Dataset | datasets.DatasetDict") -> Table:
    """Open a file, a folder that `datasets` saved, or a data set in memory.

    Raises:
        UserError: If it can't be read or doesn't tell its columns.
    """
    if not isinstance(source, str | os.PathLike):
        return open_dataset(source)
    path, name = Path(source), one_line(os.fspath(source))
    try:
        return open_saved(path, name) if path.is_dir() else _open_file(path, name)
    except FileNotFoundError:
        raise UserError(f"{name}: there is no such file or folder.") from None
    except OSError as error:
        raise UserError(f"{name}: the file can't be read ({error.strerror}).") from None


def _open_file(path: Path, name: str) -> Table:
    if path.stat().st_size == 0:
        raise UserError(f"{name}: the file is empty.")
    match path.suffix.lower():
        case ".jsonl" | ".ndjson" | ".json":
            return open_jsonl(path, name)
        case ".csv":
            return open_csv(path, name, delimiter=",")
        case ".tsv":
            return open_csv(path, name, delimiter="\t")
        case ".parquet":
            return open_parquet(path, name)
        case ending:
            raise UserError(
                f"{name}: the ending {quoted(ending)} doesn't tell the format. "
                f"Give a .jsonl, .csv, .tsv or .parquet file, or a folder that `datasets` saved to disk."
            )
