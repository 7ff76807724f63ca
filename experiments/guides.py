"""Guides of varying quality: does a better guide mask better, and train a better student?

The same student is trained without a guide and under guides from strong to senseless. What a guide is worth
is told in three ways: by its own retrieval on the test queries, by precision and recall of its mask against
known labels, and by the student that it trained.

Each is tried at two temperatures: the one that dev scores chose, and a lower one, where more of a row's
gradient comes from false negatives. Learning rates, and that temperature, are those that dev scores chose
under the scale's own guide, for all guides alike; a guide that wants others is held back by that. The strong
guide takes minutes for short texts and many for long ones, so it reads titles only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from experiments.data.multilingual import NAME
from experiments.harness import DataFolder, Experiment, Lab, Row, Training, scored
from experiments.harness.columns import gain_over, of_mask
from experiments.harness.given import random_guide
from experiments.harness.lab import LOW_TEMPERATURE
from experiments.harness.mask_quality import mask_quality
from experiments.harness.multilingual import multilingual_guide
from experiments.harness.tuned import own_score

_TOPICS, _NEWSGROUPS = "pubmed-topics", "newsgroups"
_RANDOM, _STUDENT = "a vector at random for each text", "the student before training"
_MULTILINGUAL = NAME
_NONE = "none"


@dataclass(frozen=True)
class _Guide:
    """One way to be guided.

    Attributes:
        kind: What it stands for.
        models: Names of models, or one of the three above; none for training without.
        mask: Settings of the mask.
        data: The data sets that it is tried on.
    """

    kind: str
    models: tuple[str, ...] = ()
    mask: Mapping[str, Any] = field(default_factory=dict)
    data: tuple[str, ...] = (_TOPICS, _NEWSGROUPS)


_STRONG, _MIDDLE, _WEAK = "all-mpnet-base-v2", "all-MiniLM-L6-v2", "sre"
_GUIDES = (
    _Guide(_NONE),
    _Guide("strong", (_STRONG,), data=(_TOPICS,)),
    _Guide("middle", (_MIDDLE,)),
    _Guide("weak", (_WEAK,)),
    _Guide("multilingual", (_MULTILINGUAL,)),
    _Guide("ensemble, mean", (_STRONG, _MIDDLE), data=(_TOPICS,)),
    _Guide("ensemble, all must agree", (_STRONG, _MIDDLE), {"guide_vote": "all"}, data=(_TOPICS,)),
    _Guide("student, frozen", (_STUDENT,)),
    _Guide("student, as it learns", mask={"scorer": "student"}),
    _Guide("random", (_RANDOM,)),
    # As many false negatives leave as under a guide that guesses at the others' mask rate.
    _Guide("random, at most a tenth", (_RANDOM,), {"max_masked": 0.1}),
)


def run(lab: Lab) -> Sequence[Row]:
    """Train under every guide, and measure the guides by themselves."""
    rows: list[Row] = []
    for name in (_TOPICS, _NEWSGROUPS):
        data = lab.data(name)
        guides = [guide for guide in _GUIDES if name in guide.data]
        low = {
            guided: lab.chosen(data, guided=guided, temperatures=[LOW_TEMPERATURE])
            for guided in (False, True)
        }
        trainings = {guide.kind: _training(lab, data, guide) for guide in guides}
        trained = lab.train(trainings)
        trained_low = lab.train(
            {one.kind: _training(lab, data, one, **low[one.kind != _NONE]) for one in guides}
        )
        for guide in guides:
            asked = trainings[guide.kind]
            if "scorer" in guide.mask:
                # It begins as the frozen one, and the mask is measured where it begins.
                asked = trainings["student, frozen"]
            quality = mask_quality(asked, data.labels, lab.store) if "guide" in asked.settings else None
            rows.append(
                {"data": name, "guide": guide.kind, "model": " + ".join(guide.models)}
                | _own(lab, data, guide)
                | of_mask(trained[guide.kind], quality)
                | scored(trained[guide.kind])
                | gain_over(trained[guide.kind], trained[_NONE])
                | scored(trained_low[guide.kind], column=f"nDCG@10 at {LOW_TEMPERATURE}")
                | gain_over(trained_low[guide.kind], trained_low[_NONE], column=f"gain at {LOW_TEMPERATURE}")
            )
    return rows


def _training(lab: Lab, data: DataFolder, guide: _Guide, **settings: Any) -> Training:  # noqa: ANN401
    models = [_model(lab, data, name) for name in guide.models]
    mask = {"mask": dict(guide.mask)} if guide.mask else {}
    return lab.training(data, guide=models[0] if len(models) == 1 else models or None, **mask, **settings)


def _model(lab: Lab, data: DataFolder, name: str) -> str:
    if name == _RANDOM:
        return random_guide(data.train, lab.work / "vectors")
    if name == _MULTILINGUAL:
        return multilingual_guide(lab, data)
    return lab.student if name == _STUDENT else lab.model(name)


def _own(lab: Lab, data: DataFolder, guide: _Guide) -> Row:
    """What the guide itself scores; empty for several, and where only vectors are at hand."""
    column = "guide's nDCG@10"
    if len(guide.models) != 1 or guide.models[0] in (_RANDOM, _MULTILINGUAL):
        return {column: ""}
    return scored(own_score(lab, _model(lab, data, guide.models[0]), data), column=column)


EXPERIMENT = Experiment("guides", "what does the guide's own quality decide?", run)
