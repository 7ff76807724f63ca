"""The command line: flags in, the parts called in order, one line for every mistake."""

from gistembed.cli.app import main

__all__ = ["main"]
