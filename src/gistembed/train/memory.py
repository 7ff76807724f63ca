"""How much memory a training step may take, and what to put back when it took too much."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
import torch
from torch import Tensor, nn

from gistembed.ranks import ranks_here

_CGROUP = Path("/sys/fs/cgroup")

# Of what is free when training starts and is left by what comes with the weights: the loss comes later.
_SHARE_OF_FREE = 0.5
# A gradient and two moments of Adam, in float32.
_BYTES_FOR_EACH_TRAINED = 12


def default_graph_bytes(model: nn.Module) -> int:
    """Bytes that the graphs of a batch may take in this process, as its device is now.

    Processes that train together share a machine's memory.

    Args:
        model: The student, which has no gradients yet.
    """
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    device = next(model.parameters()).device
    sharers = ranks_here() if device.type == "cpu" else 1
    to_come = _BYTES_FOR_EACH_TRAINED * sum(weight.numel() for weight in weights)
    return max(0, int(_SHARE_OF_FREE * (free_bytes(device) / sharers - to_come)))


def free_bytes(device: torch.device) -> int:
    """Bytes that can still be had on a device: on a CPU, of the machine and of this process's control group.

    Args:
        device: The device.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + reserved
    return min([int(psutil.virtual_memory().available), *_left_in_group()])


def _left_in_group() -> Iterator[int]:
    """What the control group's limit leaves; nothing where there is none."""
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
        statistics = (_CGROUP / "memory.stat").read_text().split()
    except (OSError, ValueError):
        return
    if limit != "max":
        # The group's count holds the disk's cache too, which makes room when it is asked to.
        reclaimable = int(statistics[statistics.index("inactive_file") + 1])
        yield max(0, int(limit) - used + reclaimable)


class BeforeStep:
    """What a step changes before it is done: random numbers drawn, gradients added to."""

    def __init__(self, model: nn.Module) -> None:
        """Take note of everything.

        Args:
            model: The student.
        """
        self._model = model
        self._gradients = {
            name: parameter.grad.clone()
            for name, parameter in model.named_parameters()
            if parameter.grad is not None
        }
        self._random = torch.get_rng_state()
        self._device_random = [
            (device, torch.cuda.get_rng_state(device)) for device in sorted(_cuda_devices(model.parameters()))
        ]

    def restore(self) -> None:
        """Put all of it back, and give free memory back to the device."""
        for name, parameter in self._model.named_parameters():
            parameter.grad = self._gradients[name].clone() if name in self._gradients else None
        torch.set_rng_state(self._random)
        for device, state in self._device_random:
            torch.cuda.set_rng_state(state, device)
        if self._device_random:
            torch.cuda.empty_cache()


def _cuda_devices(tensors: Iterable[Tensor]) -> set[int]:
    return {tensor.get_device() for tensor in tensors if tensor.is_cuda}
