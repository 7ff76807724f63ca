"""A guide's transformer compiled by OpenVINO for the CPU, its weights in int8 if wanted."""

import contextlib
import ctypes
import io
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import torch

from gistembed.errors import UserError
from gistembed.models import EmbeddingModel
from gistembed.terms import Backend

# Two texts of unequal lengths: what is traced is used for batches of every shape.
_EXAMPLE = ["a text", "another text, which is longer"]


def compile_transformer(guide: EmbeddingModel, backend: Backend) -> None:
    """Let OpenVINO run a guide's transformer; tokenizer, pooling and all else stay as they are.

    Args:
        guide: A guide on the CPU; it changes in place, and can no longer be trained.
        backend: ``openvino``, or ``openvino-int8`` for weights in int8.

    Raises:
        UserError: If OpenVINO isn't there, or can't run the model.
    """
    if guide.kind != "transformer":
        raise UserError(
            f"--guide {guide.name}: backend {backend} is for transformers, not for a {guide.kind} model; "
            "leave it out"
        )
    transformer = guide.model[0].model
    assert isinstance(transformer, torch.nn.Module)
    features = guide.model.preprocess(_EXAMPLE)
    example = {name: value for name, value in features.items() if isinstance(value, torch.Tensor)}
    try:
        with silence():
            module = _LastHiddenState(transformer, list(example))
            converted = openvino_model(module, tuple(example.values()), int8=backend == "openvino-int8")
            compiled = compiled_for_cpu(converted)
    except ImportError as error:
        raise UserError(
            f"backend {backend} needs OpenVINO; run `pip install 'gistembed[openvino]'`"
        ) from error
    # Two libraries of many errors; for the user it is all one.
    except Exception as error:
        raise UserError(
            f"--guide {guide.name}: OpenVINO can't run it ({str(error).strip().splitlines()[0]}); "
            "leave the backend out"
        ) from error

    def forward(**features: Any) -> dict[str, torch.Tensor]:  # noqa: ANN401 — as the model's own
        outputs = compiled([features[name].numpy() for name in example])
        return {"last_hidden_state": torch.from_numpy(outputs[0])}

    transformer.forward = forward


def openvino_model(module: torch.nn.Module, example: tuple[torch.Tensor, ...], *, int8: bool) -> Any:  # noqa: ANN401
    """A module as OpenVINO's own.

    Args:
        module: What takes and gives tensors.
        example: What it takes; other shapes will do too.
        int8: Whether weights are kept in int8.

    Raises:
        ImportError: If OpenVINO isn't there.
    """
    import openvino

    with torch.no_grad():
        converted = openvino.convert_model(module, example_input=example)
    if int8:
        import nncf

        logging.getLogger("nncf").setLevel(logging.ERROR)
        converted = nncf.compress_weights(converted, mode=nncf.CompressWeightsMode.INT8_SYM)
    return converted


def compiled_for_cpu(model: Any) -> Any:  # noqa: ANN401
    """An OpenVINO model made ready to run here, in float32.

    Args:
        model: The model, or its file.

    Raises:
        ImportError: If OpenVINO isn't there.
        RuntimeError: If it can't be compiled.
    """
    import openvino

    with _signal_stack_kept():
        # On some processors it would go down to 16 bits by itself.
        return openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


class _SignalStack(ctypes.Structure):
    """The C library's ``stack_t``."""

    _fields_ = (("place", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextlib.contextmanager
def _signal_stack_kept() -> Iterator[None]:
    """Without what OpenVINO leaves behind: a stack for this thread's signals with room for hardly anything.

    It is of the least size that the processor asks for, is given back when something else is compiled, and
    Python's handlers run on it: Ctrl-C and SIGTERM would end the process by SIGSEGV (OpenVINO 2026.4).
    """
    if sys.platform == "win32":
        yield
        return
    library, before = ctypes.CDLL(None), _SignalStack()
    library.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        library.sigaltstack(ctypes.byref(before), None)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Without what libraries say on the way: of each shape that it might depend on the example, and more.

    And without what they would tell their makers over the network, which they leave where this package isn't
    there.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    from transformers.utils import logging as transformers_logging

    said = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(said)


class _LastHiddenState(torch.nn.Module):
    """A transformer that takes its tensors in order, and gives its last hidden states alone."""

    def __init__(self, transformer: torch.nn.Module, names: list[str]) -> None:
        super().__init__()
        self.transformer = transformer
        self.names = names

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self.transformer(**dict(zip(self.names, tensors, strict=True)))[0]
        return states
