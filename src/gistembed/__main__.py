"""``python -m gistembed``."""

from gistembed.cli import main

main()
