"""Two models that improve each other: in each round, each is guided by what the other was before it."""

from gistembed.cotraining.config import CoTrainConfig, cotrain_config
from gistembed.cotraining.record import CoTrainRecord, ModelRound
from gistembed.cotraining.run import CoTrainResult, cotrain, plan_cotrain, run_cotrain

__all__ = [
    "CoTrainConfig",
    "CoTrainRecord",
    "CoTrainResult",
    "ModelRound",
    "cotrain",
    "cotrain_config",
    "plan_cotrain",
    "run_cotrain",
]
