"""Domain transfer: does a guide of another domain still help, and what does guiding cost elsewhere?

Guides that are tuned to a domain are made of the student itself, by ordinary training without a guide: on the
same pairs that it will guide on, on pairs of the same field (medical titles with their abstracts), and on
another domain. They stand beside the student as it was, a general guide, and none. Each trained student is
tested in its own domain and in the other, where it was never trained. All this at the temperature that dev
scores chose, with and without the guide, and at a lower one, where a guide has more to do.

A guide tuned on the very pairs that it guides on has learnt that these belong together, so its thresholds are
high and it masks less; that is what anyone meets who tunes a guide on the data at hand.
"""

from collections.abc import Sequence
from itertools import product

from experiments.harness import Experiment, Lab, Row, scored
from experiments.harness.columns import gain_over, of_mask
from experiments.harness.lab import LOW_TEMPERATURE
from experiments.harness.mask_quality import mask_quality
from experiments.harness.tuned import own_score, tuned_model

_DATA = ("pubmed-topics", "newsgroups")
_TUNED_ON = ("pubmed-topics", "pubmed-abstracts", "newsgroups")
_NONE, _BEFORE = "none", "(before training)"


def run(lab: Lab) -> Sequence[Row]:
    """Train on both domains under all guides, and test on both."""
    sets = {name: lab.data(name) for name in _TUNED_ON}
    guides = {_NONE: None, "general": lab.guide, "student before training": lab.student} | {
        f"student tuned on {name}": tuned_model(lab, lab.training(data)) for name, data in sets.items()
    }
    rows: list[Row] = []
    for (own, other), temperatures in product((_DATA, _DATA[::-1]), (None, [LOW_TEMPERATURE])):
        data = sets[own]
        tests = {"own": data.test, "other": sets[other].test}
        chosen = {
            guided: lab.chosen(data, guided=guided, temperatures=temperatures) for guided in (False, True)
        }
        trainings = {
            guide: lab.training(data, guide=model, tests=tests, **chosen[model is not None])
            for guide, model in guides.items()
        }
        trained = lab.train(trainings)
        before = lab.untrained(trainings[_NONE])
        for guide, found in {**({} if temperatures else {_BEFORE: before}), **trained}.items():
            model = guides.get(guide)
            quality = mask_quality(trainings[guide], data.labels, lab.store) if model else None
            guide_score = scored(own_score(lab, model, data)) if model else {"nDCG@10": ""}
            rows.append(
                {"trained on": own, "guide": guide, "guide's nDCG@10": guide_score["nDCG@10"]}
                | {"temperature": "" if guide == _BEFORE else trainings[guide].settings["temperature"]}
                | of_mask(found, quality)
                | scored(found, "own")
                | gain_over(found, trained[_NONE], "own")
                | {"tested elsewhere on": other}
                | scored(found, "other", column="nDCG@10 elsewhere")
                | gain_over(found, trained[_NONE], "other", column="gain elsewhere")
            )
    return rows


EXPERIMENT = Experiment("domains", "does a guide help outside its domain, and its student elsewhere?", run)
