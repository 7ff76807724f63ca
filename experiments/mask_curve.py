"""Precision and recall of the mask over its margin, against planted and natural false negatives.

Nothing is trained: guides are asked about the first batches as they stand. On planted faults the truth is
complete, but for abstracts that happen to be about the same. On natural ones it is what the labels say: texts
with a label in common count as false negatives, so what the guide masks rightly beyond the labels counts
against it.
"""

from collections.abc import Sequence

from experiments.harness import Experiment, Lab, Row
from experiments.harness.columns import of_quality
from experiments.harness.mask_quality import qualities_at
from experiments.harness.planting import planted_data
from experiments.harness.training import encode_for
from gistembed.console import Console

_MARGINS = (-0.3, -0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2, 0.3)
_PLANTED = 0.3
_NATURAL = ("pubmed-topics", "newsgroups")


def run(lab: Lab) -> Sequence[Row]:
    """Ask the scale's guide and the student before training, at each margin."""
    clean = lab.data("pubmed-abstracts")
    # As `planted_noise` makes it, so that the guide's vectors are there already.
    folder = lab.work / "data" / f"false_negatives-{_PLANTED:g}"
    sets = {f"planted, {_PLANTED:.0%}": planted_data(clean, folder, false_negatives=_PLANTED)}
    sets |= {name: lab.data(name) for name in _NATURAL}
    guides = {lab.scale.guide: lab.guide, "student before training": lab.student}
    rows: list[Row] = []
    for name, data in sets.items():
        for guide, model in guides.items():
            # No step is trained, so that any learning rate will do.
            training = lab.training(data, guide=model, learning_rate=1.0, temperature=1.0)
            encode_for(training, lab.store, Console(quiet=True))
            found = qualities_at(training, data.labels, lab.store, _MARGINS)
            for margin, quality in zip(_MARGINS, found, strict=True):
                rows.append(
                    {"data": name, "guide": guide, "margin": f"{margin:+}"}
                    | {"masked": f"{quality.masked / quality.candidates:.4f}"}
                    | of_quality(quality)
                )
    return rows


EXPERIMENT = Experiment("mask_curve", "how precise is the mask, and what does it miss, at each margin?", run)
