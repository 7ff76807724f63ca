"""What all experiments share: a scale, trainings that are kept, scores that can't be confused, tables."""

from experiments.harness.lab import Experiment, Lab
from experiments.harness.scale import Scale, read_scale
from experiments.harness.scores import DevScores, TestScores, best_by_dev
from experiments.harness.tables import Row, compared, scored
from experiments.harness.training import DataFolder, Trained, Training

__all__ = [
    "DataFolder",
    "DevScores",
    "Experiment",
    "Lab",
    "Row",
    "Scale",
    "TestScores",
    "Trained",
    "Training",
    "best_by_dev",
    "compared",
    "read_scale",
    "scored",
]
