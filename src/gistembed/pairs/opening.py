"""Opens whatever holds the user's rows: a file, a folder or a data set in memory."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from gistembed.errors import UserError
from gistembed.pairs.collections.folders import open_collection, open_judged_split
from gistembed.pairs.sources.arrow_tables import open_dataset, open_saved
from gistembed.pairs.sources.by_ending import open_file
from gistembed.pairs.sources.table import READABLE, Table
from gistembed.pairs.wording import one_line

if TYPE_CHECKING:
    import datasets

    Source: TypeAlias = str | os.PathLike[str] | datasets.Dataset | datasets.DatasetDict | Table


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
    if not name:
        raise UserError(f"the name of the source is empty. Give {READABLE}.")
    try:
        collection = open_collection(path, name) if path.is_dir() else open_judged_split(path, name)
        if collection is not None:
            return collection
        return open_saved(path, name) if path.is_dir() else open_file(path, name)
    except FileNotFoundError:
        raise UserError(f"{name}: there is no such file or folder.") from None
    except OSError as error:
        # Of a folder, the file that is meant is one of those in it.
        refused = name if error.filename is None else one_line(os.fsdecode(error.filename))
        raise UserError(f"{refused}: the file can't be read ({error.strerror}).") from None
