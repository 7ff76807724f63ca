"""Training on sentence-transformers' Trainer, with our batches and our loss."""

from gistembed.train.best import KeepBest, steps_between
from gistembed.train.run import TrainingOutcome, TrainingPlan, train_student, training_arguments
from gistembed.train.signals import stops_after_step

__all__ = [
    "KeepBest",
    "TrainingOutcome",
    "TrainingPlan",
    "steps_between",
    "stops_after_step",
    "train_student",
    "training_arguments",
]
