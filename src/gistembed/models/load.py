"""Load a sentence-transformers model safely, and say exactly which one it is."""

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from gistembed.errors import UserError
from gistembed.models.embedding import ROLES, EmbeddingModel
from gistembed.terms import Role

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# What sentence-transformers calls the roles: prompt names to look for, and the task of a Router module.
_PROMPT_NAMES: dict[Role, tuple[str, ...]] = {
    "anchor": ("query",),
    "document": ("document", "passage", "corpus"),
}
_IDENTITY_SUFFIXES = {".safetensors", ".json", ".txt", ".model", ".py"}
_PICKLES = ("pytorch_model", "adapter_model")
_DOWNLOAD_PATTERNS = ["*.safetensors", "*.json", "*.txt", "*.model", "*.py"]
_DOWNLOAD_IGNORED = ["onnx/*", "openvino/*"]


def load_model(
    name: str | os.PathLike[str],
    *,
    option: str,
    prompts: Mapping[Role, str] | None = None,
    max_length: int | None = None,
    dimensions: int | None = None,
    device: str | None = None,
) -> EmbeddingModel:
    """Load a model from a folder or by its hub name: safetensors only, no remote code, float32.

    Args:
        name: Folder or hub name.
        option: What the user calls this model on the command line, for messages: ``--student``.
        prompts: Prompts by role that replace the model's own.
        max_length: Longest input in tokens, in place of the model's own.
        dimensions: How many of the first numbers of an embedding to keep; all by default.
        device: Where it runs, as torch names it; an accelerator if there is one, by default.

    Raises:
        UserError: If there is no such model, or it can't be loaded.
    """
    name = os.fspath(name)
    folder = resolve_folder(name, option=option)
    import torch
    from sentence_transformers import SentenceTransformer

    with no_progress_bars():
        try:
            model = SentenceTransformer(
                str(folder),
                device=device,
                trust_remote_code=False,
                model_kwargs={"dtype": torch.float32, "use_safetensors": True},
            )
        # Libraries raise almost anything for a damaged folder; for the user it is all one mistake.
        except Exception as error:
            raise UserError(f"{option} {name}: can't be loaded: {_first_line(error)}") from error
    # Static models and further layers have the numbers that they were saved in, whatever was asked for.
    model.float()
    own = EmbeddingModel(name, folder_identity(folder), model, role_prompts(model))
    return own.with_settings(option=option, prompts=prompts, max_length=max_length, dimensions=dimensions)


def resolve_folder(name: str, *, option: str) -> Path:
    """The folder of a model's files, fetched from the hub if the name is not a folder.

    Raises:
        UserError: If there is neither a model folder nor a reachable hub model of that name.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not ((folder / "modules.json").is_file() or (folder / "config.json").is_file()):
            raise UserError(
                f"{option} {name}: not a model folder: it holds neither modules.json nor config.json"
            )
    elif folder.exists():
        raise UserError(f"{option} {name}: a file; give the model's folder or its hub name")
    elif re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) and not name.startswith("."):
        folder = _download(name, option)
    else:
        raise UserError(f"{option} {name}: no such folder")
    _refuse_pickles(folder, name, option)
    return folder


def folder_identity(folder: Path) -> str:
    """xxh3-128 over the names and bytes of all files that a model's embeddings can depend on.

    An adapter's embeddings depend on the model below it too.

    Args:
        folder: The model's folder.

    Raises:
        UserError: If the model below an adapter isn't there.
    """
    digest = xxhash.xxh3_128()
    places = [folder.resolve()]
    # What lies below an adapter may be one, too: the list grows meanwhile.
    for place in places:
        for path in sorted(_files(place)):
            if path.suffix in _IDENTITY_SUFFIXES:
                digest.update(path.relative_to(place).as_posix().encode())
                with path.open("rb") as file:
                    while chunk := file.read(1 << 24):
                        digest.update(chunk)
        places += [base for base in _below_adapters(place, folder) if base not in places]
    return digest.hexdigest()


def _files(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """All files of a folder and those in it; links are followed, but for those that lead back up."""
    real = folder.resolve()
    if real in above:
        return
    try:
        inside = list(folder.iterdir())
    except PermissionError:
        return
    for path in inside:
        if path.is_dir():
            yield from _files(path, (*above, real))
        elif path.is_file():
            yield path


def _below_adapters(folder: Path, given: Path) -> list[Path]:
    """The folders of the models that the modules of a model are adapters of; none but for adapters."""
    modules = _json_in(folder / "modules.json")
    paths = [one.get("path") for one in modules if isinstance(one, dict)] if isinstance(modules, list) else []
    bases = []
    for place in sorted({folder, *(folder / path for path in paths if isinstance(path, str))}):
        config = _json_in(place / "adapter_config.json")
        base = config.get("base_model_name_or_path") if isinstance(config, dict) else None
        if isinstance(base, str) and base:
            bases.append(resolve_folder(base, option=f"{given}: is an adapter of").resolve())
    return bases


def _json_in(path: Path) -> object:
    """What a file says; None if it isn't there or isn't readable, which loading the model will tell."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def role_prompts(model: "SentenceTransformer") -> dict[Role, str]:
    """The prompts that the model's authors gave for each role; their default prompt if they gave none.

    Empty prompts don't count as given, because the library gives every model empty ones for both roles.

    Args:
        model: The model.
    """
    given: dict[Role, str] = {
        role: next((prompt for name in names if (prompt := model.prompts.get(name))), "")
        for role, names in _PROMPT_NAMES.items()
    }
    if any(given.values()):
        return given
    return dict.fromkeys(ROLES, model.prompts.get(model.default_prompt_name or "") or "")


@contextlib.contextmanager
def no_progress_bars() -> Iterator[None]:
    """Without transformers' own progress bars for weights that are read or written: ours say more."""
    from transformers.utils import logging as transformers_logging

    had_bar: Any = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if had_bar:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _download(name: str, option: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(name, allow_patterns=_DOWNLOAD_PATTERNS, ignore_patterns=_DOWNLOAD_IGNORED)
        )
    # The hub's client has a dozen exceptions of its own besides those of the network below it.
    except Exception as error:
        raise UserError(
            f"{option} {name}: no such folder, and not to be had from the hub: {_first_line(error)}"
        ) from error


def _refuse_pickles(folder: Path, name: str, option: str) -> None:
    for weights in sorted(_files(folder)):
        is_pickle = weights.suffix == ".bin" and weights.name.startswith(_PICKLES)
        if is_pickle and not any(weights.parent.glob("*.safetensors")):
            raise UserError(
                f"{option} {name}: its weights are a pickle ({weights.relative_to(folder)}), which can run "
                "code; convert them to safetensors first"
            )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
