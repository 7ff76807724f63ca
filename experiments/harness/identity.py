"""What tells things that are kept from those that were made of other models, data or settings."""

import json
from functools import cache
from pathlib import Path

import xxhash

from gistembed import __version__
from gistembed.models import folder_identity


def key_of(**parts: object) -> str:
    """A digest of all that decides what is made, and of this package's version.

    Args:
        **parts: By name; of files and models, what `file_digest` and `model_identity` say.
    """
    whole = json.dumps({**parts, "version": __version__}, sort_keys=True, default=str)
    return xxhash.xxh3_128_hexdigest(whole.encode())


@cache
def file_digest(path: Path) -> str:
    """A digest of a file's content, read once in a process."""
    return xxhash.xxh3_128_hexdigest(path.read_bytes())


@cache
def model_identity(name: str) -> str:
    """A digest of what a student or a guide is, read once in a process.

    Args:
        name: A model's folder, or a file of given vectors; anything else, such as a hub name, stands for
            itself.
    """
    place = Path(name)
    if place.is_dir():
        return folder_identity(place)
    if place.is_file():
        texts = place.with_suffix(".texts.json")
        return file_digest(place) + (file_digest(texts) if texts.exists() else "")
    return name
