"""What the trainer's arguments ask of the student and the machine, refused where it can't be had."""

import os
import shutil
import sys
from typing import Any

import torch
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments
from transformers import PreTrainedModel

from gistembed.errors import UserError
from gistembed.ranks import ranks

# Names that transformers gave up, and those in their place.
_RENAMED = {
    "gradient_checkpointing": "activation_checkpointing",
    "gradient_checkpointing_kwargs": "activation_checkpointing_kwargs",
}


def current_name(argument: str, known: set[str]) -> str:
    """The name that an argument of the trainer goes by in the transformers that is installed.

    Args:
        argument: The name that the user gave.
        known: The names that there are.
    """
    renamed = _RENAMED.get(argument, argument)
    return renamed if renamed in known else argument


def check_feasible(model: SentenceTransformer, arguments: SentenceTransformerTrainingArguments) -> None:
    """Refuse what would fail in the first step, or be passed over without a word.

    Args:
        model: The student.
        arguments: The trainer's arguments.

    Raises:
        UserError: If the student or the machine can't do what they ask for.
    """
    half = next((name for name, weight in model.named_parameters() if weight.dtype == torch.float16), None)
    if half is not None:
        raise UserError(
            f"the student's weights are float16 ({half}), where small updates vanish; load it in float32 and "
            "set bf16 in [trainer] to compute in fewer bits"
        )
    on_cpu = arguments.device.type == "cpu"
    if arguments.fsdp and ranks() == 1:
        raise UserError(
            "[trainer] fsdp: one process has nobody to share the weights with; start several by torchrun, or "
            "leave it out"
        )
    if arguments.fsdp and not _can_be_sharded(arguments.device):
        raise UserError(
            "[trainer] fsdp: on CPUs weights are not shared out; leave it out, and each process has them all"
        )
    if arguments.fp16 and on_cpu:
        raise UserError("[trainer] fp16: a CPU computes in float32 or bf16; set bf16, or leave it out")
    if arguments.torch_compile and arguments.torch_compile_backend == "inductor" and on_cpu:
        compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
        if shutil.which(compiler) is None:
            raise UserError(
                f"[trainer] torch_compile: needs the C++ compiler {compiler}, which is not installed"
            )
    if arguments.activation_checkpointing:
        transformer = model.transformers_model
        if not isinstance(transformer, PreTrainedModel) or not transformer.supports_gradient_checkpointing:
            raise UserError(
                "[trainer] gradient_checkpointing: the student has no layers that can be computed again; "
                "leave it out"
            )


def _can_be_sharded(device: torch.device) -> bool:
    """Whether accelerate shares a model out among processes here; elsewhere it passes over the setting."""
    return device.type != "cpu"


def checkpoint_activations(
    model: SentenceTransformer, arguments: SentenceTransformerTrainingArguments
) -> None:
    """Compute the layers' activations again in the backward pass, if the arguments ask for it.

    The trainer would do this by a name that transformers gave up, with a warning for each module; its
    argument is unset.

    Args:
        model: The student.
        arguments: The trainer's arguments.
    """
    if not arguments.activation_checkpointing:
        return
    given: Any = arguments.activation_checkpointing_kwargs or {}
    options = dict(given)
    apart = {name: options.pop(name) for name in ("every_n_layers", "offload") if name in options}
    transformer = model.transformers_model
    assert transformer is not None, "a student without layers was refused"
    transformer.activation_checkpointing_enable(activation_checkpointing_kwargs=options or None, **apart)
    arguments.activation_checkpointing = arguments.gradient_checkpointing = False
