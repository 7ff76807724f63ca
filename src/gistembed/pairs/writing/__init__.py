"""Rows written in every format that they are read in: whole or not at all, and nothing lost unasked."""

from gistembed.pairs.writing.formats import FORMATS
from gistembed.pairs.writing.place import check_new, check_out
from gistembed.pairs.writing.write import write_rows

__all__ = ["FORMATS", "check_new", "check_out", "write_rows"]
