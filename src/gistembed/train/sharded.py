"""Weights and optimizer states that lie in parts in several processes: put together, and dealt out again.

In each of these functions all processes have to meet.

Source: FSDP2, `torch.distributed.fsdp.fully_shard`.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.optim import Optimizer


def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """All parameters and saved buffers by name, whole in every process.

    Args:
        model: A model in parts.
    """
    state: dict[str, Any] = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True))
    return state


def gathered(model: nn.Module, optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights and the optimizer's state by the names of the weights, in the first process; empty in others.

    Args:
        model: A model in parts.
        optimizer: What trains it.
    """
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state: Any = get_optimizer_state_dict(model, optimizer, options=options)
    weights: Any = get_model_state_dict(model, options=options)
    return weights, state


def deal_out_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give each process its part of weights that are whole in every one; those not named stay.

    Args:
        model: A model in parts.
        weights: Of `gathered`.
    """
    set_model_state_dict(model, dict(weights), options=StateDictOptions(full_state_dict=True, strict=False))


def deal_out_optimizer(model: nn.Module, optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Give each process its part of an optimizer's state that is whole in every one.

    Args:
        model: A model in parts.
        optimizer: What trains it.
        state: Of `gathered`.
    """
    set_optimizer_state_dict(model, optimizer, dict(state), options=StateDictOptions(full_state_dict=True))
