"""The words that several parts share; nothing is imported here."""

from typing import Literal

Block = Literal["ap", "aa", "an", "pp", "pa"]
Role = Literal["anchor", "document"]
MarginStrategy = Literal["absolute", "relative"]
MaskAction = Literal["drop", "soften", "promote"]
Scorer = Literal["guide", "student"]
GuideVote = Literal["mean", "majority", "any", "all"]
NegativeSource = Literal["both", "in_batch", "explicit"]
StarvedAction = Literal["count", "keep_least_similar", "skip"]
Compatibility = Literal["default", "paper", "sentence-transformers"]
HardnessMode = Literal["in_batch_negatives", "hard_negatives", "all_negatives"]
SameText = Literal["exact", "normalised"]
Mixing = Literal["proportional", "round_robin", "temperature"]
Kernel = Literal["auto", "torch", "triton"]
VectorDtype = Literal["float16", "float32", "int8"]
Backend = Literal["torch", "openvino", "openvino-int8"]
TrainedModel = Literal["guided", "unguided"]
DataSet = Literal["held-out", "retention"]
ScoredSet = Literal["dev", "held-out", "retention"]
