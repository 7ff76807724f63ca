"""The words that several parts share; nothing is imported here."""

from typing import Literal

Block = Literal["ap", "aa", "pp", "an"]
Role = Literal["anchor", "document"]
MarginStrategy = Literal["absolute", "relative"]
TrainedModel = Literal["guided", "unguided"]
DataSet = Literal["held-out", "retention"]
