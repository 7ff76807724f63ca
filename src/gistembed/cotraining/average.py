"""The moving average of a model's weights over rounds."""

import torch

from gistembed.models import EmbeddingModel


@torch.no_grad()
def move_average(average: EmbeddingModel, model: EmbeddingModel, decay: float) -> None:
    """Move an average towards a model, in place.

        average  =  decay · average + (1 − decay) · model

    What is no fractional number, such as positions, is taken from the model.

    Args:
        average: The average so far.
        model: The model after a round, of the same shape.
        decay: Share of the average that stays.

    Source: Tarvainen and Valpola 2017 (arXiv 1703.01780), equation 2; there the average is
    over steps, here over rounds.
    """
    values = model.model.state_dict()
    for name, kept in average.model.state_dict().items():
        value = values[name].to(kept.device)
        if kept.is_floating_point():
            kept.lerp_(value, 1 - decay)
        else:
            kept.copy_(value)
