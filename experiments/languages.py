"""Languages: does a guide help where a pair's texts are in two languages, and must it know both?

On two sets of PubMed titles. In `pubmed-bitext` a pair is a title's English translation and its original:
finding the original among all is bitext mining, scored by nDCG@10 like everything here, and two rows are
seldom about the same. In `pubmed-languages` a pair is an English title and one in another language of the
same topic, and many rows are about the same. `own` there asks for titles of one topic in one language, no
English among them.

The guides: a model that knows English only, a multilingual one, and the student as it was before training,
whose tokens are many languages'. All trainings, guided and not, have the learning rate and temperature that
dev scores chose for training without a guide, so that what differs is the guide alone; and again with a lower
temperature, where more of a row's gradient comes from false negatives, without the languages one by one.

What can't be concluded: Russian is transliterated, all is medicine, the largest language but English is
German, and the multilingual guide is neither as strong nor of the same kind as the English one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.data.languages import TESTED
from experiments.harness import DataFolder, Experiment, Lab, Row, Trained, Training, compared, scored
from experiments.harness.columns import of_mask
from experiments.harness.lab import LOW_TEMPERATURE
from experiments.harness.mask_quality import mask_quality
from experiments.harness.multilingual import multilingual_guide

_TESTS = {"pubmed-bitext": {one: f"test-{one}" for one in TESTED}, "pubmed-languages": {"own": "test-own"}}
_UNGUIDED = "none"


def run(lab: Lab) -> Sequence[Row]:
    """Train without a guide and with each, and score each language apart."""
    rows: list[Row] = []
    for name in _TESTS:
        data = lab.data(name)
        labelled = data.labels.exists()
        for temperatures in (None, [LOW_TEMPERATURE]):
            chosen = lab.chosen(data, guided=False, temperatures=temperatures)
            # Of the languages one by one there is enough with one temperature.
            tests = {"all": data.test} if temperatures and not labelled else _tests(data, name)
            trainings = _trainings(lab, data, tests, chosen)
            trained = lab.train(trainings)
            for guide, training in trainings.items():
                if guide == _UNGUIDED:
                    continue
                # Titles that share topics are no translations of each other: of those, no labels are known.
                quality = mask_quality(training, data.labels, lab.store) if labelled else None
                about = of_mask(trained[guide], quality)
                first = {"data": name, "temperature": chosen["temperature"], "guide": guide}
                rows += _rows(first, trained[_UNGUIDED], trained[guide], about)
    return rows


def _trainings(
    lab: Lab, data: DataFolder, tests: Mapping[str, Path], chosen: Mapping[str, Any]
) -> dict[str, Training]:
    guides = {
        _UNGUIDED: None,
        f"{lab.scale.guide} (English)": lab.guide,
        "multilingual": multilingual_guide(lab, data),
        "the student before": lab.student,
    }
    return {name: lab.training(data, guide=guide, tests=tests, **chosen) for name, guide in guides.items()}


def _tests(data: DataFolder, name: str) -> dict[str, Path]:
    return {"all": data.test} | {test: data.folder / f"{file}.jsonl" for test, file in _TESTS[name].items()}


def _rows(first: Row, unguided: Sequence[Trained], guided: Sequence[Trained], about: Row) -> list[Row]:
    return [
        first
        | {"test": test, "queries": len(guided[0].tests[test].by_query)}
        | scored(unguided, test, column="unguided")
        | scored(guided, test, column="guided")
        | compared(guided, unguided, test)
        | about
        for test in guided[0].tests
    ]


EXPERIMENT = Experiment("languages", "does a guide help across languages, and must it know both?", run)
