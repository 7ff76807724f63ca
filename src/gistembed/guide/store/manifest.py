"""What a folder of vectors says about its guide: enough to find the vectors without the guide at hand."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import xxhash
from pydantic import TypeAdapter

from gistembed.files import write_whole
from gistembed.guide.store.identity import GuideIdentity
from gistembed.terms import Role

NAME = "guide.json"


@dataclass(frozen=True)
class GuideFacts:
    """What a guide is by itself, before a run asks for other prompts, lengths or dimensions.

    Attributes:
        kind: ``transformer``, ``static``, the class name of the first module, or ``endpoint``.
        parameters: Number of parameters; None where it is not known.
        dimensions: Length of an embedding.
        max_length: Longest input in tokens; None if there is no limit, or it is not known.
        prompts: What is put before each text, by role.
        branches: Whether each role has a branch of its own.
    """

    kind: str
    parameters: int | None
    dimensions: int
    max_length: int | None
    prompts: Mapping[Role, str]
    branches: bool


@dataclass(frozen=True)
class Manifest:
    """What stands in a guide's folder beside its vectors.

    Attributes:
        name: What the guide was called, for people.
        guide: The guide that the vectors belong to.
        facts: What it is by itself; None if whoever wrote the vectors didn't say.
    """

    name: str
    guide: GuideIdentity
    facts: GuideFacts | None = None

    def write(self, folder: Path) -> None:
        """Write it into the guide's folder, with a seal.

        Raises:
            OSError: If the disk refuses; nothing is left behind.
        """
        content = asdict(self)
        write_whole(folder / NAME, json.dumps(content | {"seal": _seal(content)}, indent=2).encode())


_MANIFEST = TypeAdapter(Manifest)


def read_manifest(folder: Path) -> Manifest | None:
    """What a folder says about its guide; None if it says nothing that is whole and its own.

    Args:
        folder: A folder in a store.
    """
    try:
        content: dict[str, Any] = json.loads((folder / NAME).read_bytes())
        seal = content.pop("seal")
        manifest = _MANIFEST.validate_python(content)
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None
    whole = seal == _seal(content) and manifest.guide.digest() == folder.name
    return manifest if whole else None


def manifests(root: Path) -> list[Manifest]:
    """Those of all guides in a store folder, in the order of their folders' names.

    Args:
        root: The folder; it need not be there.
    """
    found = [read_manifest(path.parent) for path in sorted(root.glob(f"*/{NAME}"))]
    return [manifest for manifest in found if manifest is not None]


def known_facts(root: Path, files: str) -> GuideFacts | None:
    """What a store folder knows about a guide; None if nothing.

    Args:
        root: The store folder.
        files: The guide's `GuideIdentity.files`.
    """
    return next(
        (manifest.facts for manifest in manifests(root) if manifest.guide.files == files and manifest.facts),
        None,
    )


def _seal(content: Mapping[str, Any]) -> str:
    return xxhash.xxh3_128_hexdigest(json.dumps(content, sort_keys=True).encode())
