"""What else the mask can do: margins, limits, what becomes of what leaves, blocks, and hard negatives.

One option is changed at a time. ``gain`` is over training without a guide that has the same candidates: other
blocks, or hard negatives, change that training too. ``over plain`` is over the plain rule (margin 0, the
blocks ap, aa and pp).

Hard negatives are mined in two ways: the nearest text to the anchor by the student's own vectors, many of
which are false negatives; and the nearest by the guide's that is clearly below the positive, which protects
them before training instead of in it.

Dev scores choose one of the options at the plain rule's candidates, and that one alone is tried on a second
data set. All other rows are there to be read, not to be chosen from: with so many, the best by test would be
best by luck.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.harness import DataFolder, Experiment, Lab, Row, Training, best_by_dev, scored
from experiments.harness.columns import gain_over, of_mask
from experiments.harness.mask_quality import mask_quality
from experiments.harness.mining import false_share, mined_data
from experiments.harness.training import Trained
from gistembed.mine import MiningSettings

_DATA, _SECOND = "pubmed-topics", "newsgroups"
_UNGUIDED, _PLAIN = "unguided", "plain"
_BLOCKS = "ap aa pp"
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    _PLAIN: {},
    **{f"margin {margin:+}": {"margin": margin} for margin in (-0.1, -0.05, 0.05, 0.1)},
    **{
        f"margin {margin:+} relative": {"margin": margin, "margin_strategy": "relative"}
        for margin in (-0.1, 0.1)
    },
    "soften 0.1": {"action": "soften", "softness": 0.1},
    "promote": {"action": "promote"},
    "promote, margin -0.1": {"action": "promote", "margin": -0.1},
    "max_masked 0.1": {"max_masked": 0.1},
    "limit_floor 0.3": {"limit_floor": 0.3},
    "limit_ceiling 0.5": {"limit_ceiling": 0.5},
    "limit 0.4 for all": {"limit_floor": 0.4, "limit_ceiling": 0.4},
    "not strict": {"strict": False},
}
_OTHER_BLOCKS: Mapping[str, Mapping[str, Any]] = {
    "ap": {"contrast_anchors": False, "contrast_positives": False},
    "ap aa pp pa": {"contrast_reverse": True},
}
_NEAREST, _BELOW = "ap aa pp an, nearest", "ap aa pp an, below the positive"

Way = tuple[str, str]
"""Candidates and option."""


def run(lab: Lab) -> Sequence[Row]:
    """Train in every way on one data set, and in the way that dev scores choose on a second."""
    data = lab.data(_DATA)
    mined = {
        _NEAREST: mined_data(lab, data, "nearest", MiningSettings(num_negatives=1), guided=False),
        _BELOW: mined_data(
            lab, data, "below", MiningSettings(num_negatives=1, relative_margin=0.05), guided=True
        ),
    }
    ways = _ways(lab, data) | _ways_with_negatives(lab, data, mined)
    trained = lab.train(ways)
    best = best_by_dev(
        {
            option: [one.dev for one in found]
            for (candidates, option), found in trained.items()
            if candidates == _BLOCKS and option != _UNGUIDED
        }
    )
    rows = _rows(lab, data, ways, trained, best, {name: _false(one) for name, one in mined.items()})
    second = lab.data(_SECOND)
    few = {
        (_BLOCKS, option): _training(lab, second, option, _OPTIONS.get(option, {}))
        for option in (_UNGUIDED, _PLAIN, best)
    }
    return rows + _rows(lab, second, few, lab.train(few), best, {})


def _ways(lab: Lab, data: DataFolder) -> dict[Way, Training]:
    ways = {(_BLOCKS, _UNGUIDED): _training(lab, data, _UNGUIDED, {})}
    ways |= {(_BLOCKS, option): _training(lab, data, option, mask) for option, mask in _OPTIONS.items()}
    return ways | {
        (blocks, option): _training(lab, data, option, mask)
        for blocks, mask in _OTHER_BLOCKS.items()
        for option in (_UNGUIDED, _PLAIN)
    }


def _ways_with_negatives(lab: Lab, data: DataFolder, mined: Mapping[str, DataFolder]) -> dict[Way, Training]:
    ways: dict[Way, Training] = {}
    for name, one in mined.items():
        options: dict[str, Mapping[str, Any]] = {_UNGUIDED: {}, _PLAIN: {}}
        if name == _NEAREST:
            options["trust_negatives"] = {"trust_negatives": True}
        for option, mask in options.items():
            # Chosen where there are no hard negatives: they are not what is tuned.
            chosen = lab.chosen(data, guided=option != _UNGUIDED)
            ways[name, option] = _training(lab, one, option, mask, **chosen)
    return ways


def _training(
    lab: Lab,
    data: DataFolder,
    option: str,
    mask: Mapping[str, Any],
    **settings: Any,  # noqa: ANN401 — any setting of a run
) -> Training:
    guide = None if option == _UNGUIDED else lab.guide
    return lab.training(data, guide=guide, **settings, **({"mask": dict(mask)} if mask else {}))


def _false(data: DataFolder) -> float:
    rows = map(json.loads, data.train.read_text(encoding="utf-8").splitlines())
    return false_share(rows, json.loads(data.labels.read_text(encoding="utf-8")))


def _rows(
    lab: Lab,
    data: DataFolder,
    ways: Mapping[Way, Training],
    trained: Mapping[Way, Sequence[Trained]],
    best: str,
    false: Mapping[str, float],
) -> list[Row]:
    rows: list[Row] = []
    for (candidates, option), found in trained.items():
        training = ways[candidates, option]
        guided = "guide" in training.settings
        quality = mask_quality(training, data.labels, lab.store) if guided else None
        rows.append(
            {"data": data.folder.name, "candidates": candidates, "option": option}
            | {"false hard negatives": f"{false[candidates]:.3f}" if candidates in false else ""}
            | of_mask(found, quality)
            | scored(found)
            | gain_over(found, trained[candidates, _UNGUIDED])
            | gain_over(found, trained[_BLOCKS, _PLAIN], column="over plain")
            | {"chosen by dev": "yes" if (candidates, option) == (_BLOCKS, best) else ""}
        )
    return rows


EXPERIMENT = Experiment("mask_options", "what do the mask's options change?", run)
