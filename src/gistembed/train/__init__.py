"""Training on sentence-transformers' Trainer, with our batches and our loss."""

from gistembed.train.adapt import Adaptation, adapt, merge_lora, remove_lora
from gistembed.train.best import KeepBest, steps_between
from gistembed.train.feasible import check_feasible
from gistembed.train.packing import check_padding_free
from gistembed.train.run import TrainingOutcome, TrainingPlan, train_student, training_arguments

__all__ = [
    "Adaptation",
    "KeepBest",
    "TrainingOutcome",
    "TrainingPlan",
    "adapt",
    "check_feasible",
    "check_padding_free",
    "merge_lora",
    "remove_lora",
    "steps_between",
    "train_student",
    "training_arguments",
]
