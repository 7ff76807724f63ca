"""A task and a model's embeddings in; metrics, and what they are made of item by item, out."""

from gistembed.evaluate.scorers.score import score_task
from gistembed.evaluate.scorers.scored import Embed, Scored

__all__ = ["Embed", "Scored", "score_task"]
