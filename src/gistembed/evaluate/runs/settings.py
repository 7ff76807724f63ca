"""How the models of an evaluation are set, and what a result of one depends on."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, get_args

import xxhash

from gistembed.errors import UserError
from gistembed.models import EmbeddingModel, folder_identity, load_model, resolve_folder
from gistembed.pairs.wording import quoted
from gistembed.terms import Role

PromptRole = Literal["anchor", "document", "text"]
PROMPT_ROLES: tuple[PromptRole, ...] = get_args(PromptRole)

_OPTION = "MODEL"


@dataclass(frozen=True)
class ModelSettings:
    """What is set of every model, in place of its own.

    Attributes:
        prompts: What is put before each text: an ``anchor`` that searches, a ``document`` to be found, or a
            ``text`` of a task in which no text searches another.
        max_length: Longest input in tokens.
        dimensions: How many of the first numbers of an embedding to keep.
    """

    prompts: Mapping[PromptRole, str] = field(default_factory=dict)
    max_length: int | None = None
    dimensions: int | None = None

    def role_prompts(self) -> dict[Role, str]:
        """The prompts of the two roles that every model has."""
        return {role: self.prompts[role] for role in ("anchor", "document") if role in self.prompts}


def parse_prompts(given: Sequence[str]) -> dict[PromptRole, str]:
    """Prompts by role from the command line, each ``ROLE=TEXT``.

    Args:
        given: What the user gave.

    Raises:
        UserError: If one isn't of that form.
    """
    prompts: dict[PromptRole, str] = {}
    for one in given:
        role, equals, prompt = one.partition("=")
        if not equals or role not in PROMPT_ROLES:
            raise UserError(
                f"--prompt {quoted(one)}: write ROLE=TEXT, ROLE being one of {', '.join(PROMPT_ROLES)}."
            )
        prompts[role] = prompt
    return prompts


@dataclass(frozen=True)
class ModelToScore:
    """A model that is there, and not loaded yet.

    Attributes:
        given: Folder or hub name, as the user gave it.
        folder: The folder of its files.
        identity: xxh3-128 over them.
        settings: How it is set.
    """

    given: str
    folder: Path
    identity: str
    settings: ModelSettings

    @classmethod
    def find(cls, given: str, settings: ModelSettings) -> "ModelToScore":
        """Find a model.

        Args:
            given: Folder or hub name.
            settings: How it is set.

        Raises:
            UserError: If it isn't there.
        """
        folder = resolve_folder(given, option=_OPTION)
        return cls(given, folder, folder_identity(folder), settings)

    @property
    def name(self) -> str:
        """A name as mteb has it, with one slash: the hub's, or the folder's with the one above it."""
        if not Path(self.given).expanduser().is_dir():
            return self.given if "/" in self.given else f"hub/{self.given}"
        folder = Path(os.path.abspath(self.folder))  # noqa: PTH100 — as the user calls it, links and all
        return "/".join(["local", *(part for part in folder.parts if part != folder.anchor)][-2:])

    @property
    def revision(self) -> str:
        """All that an embedding depends on: the files, and the settings where there are any."""
        if self.settings == ModelSettings():
            return self.identity
        settings = json.dumps(asdict(self.settings), sort_keys=True, ensure_ascii=False)
        return xxhash.xxh3_128_hexdigest((self.identity + settings).encode())

    def load(self) -> EmbeddingModel:
        """Load it.

        Raises:
            UserError: If it can't be loaded or set so.
        """
        return load_model(
            self.given,
            option=_OPTION,
            prompts=self.settings.role_prompts(),
            max_length=self.settings.max_length,
            dimensions=self.settings.dimensions,
        )
