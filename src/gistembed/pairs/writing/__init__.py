"""Rows written in every format that they are read in: whole or not at all, and nothing lost unasked."""

from gistembed.pairs.writing.write import FORMATS, write_rows

__all__ = ["FORMATS", "write_rows"]
