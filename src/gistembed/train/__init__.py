"""Training on sentence-transformers' Trainer, with our batches and our loss."""

from gistembed.train.run import TrainingOutcome, TrainingPlan, train_student, training_arguments

__all__ = ["TrainingOutcome", "TrainingPlan", "train_student", "training_arguments"]
