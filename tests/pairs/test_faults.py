"""What contradicts or repeats, against loops over the numbers; the doctor and reading say the same."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gistembed.pairs import offsets_of
from gistembed.pairs.faults import are_known, earlier_pair, repeated_negatives

NUMBER = st.integers(0, 3)
NEGATIVES = st.lists(st.tuples(NUMBER, st.booleans()), max_size=4)
ROW = st.tuples(NUMBER, st.lists(NUMBER, min_size=1, max_size=2), NEGATIVES, st.sampled_from([1.0, 2.0]))


def arrays(of_rows):
    """The negatives of some rows, where each row's begin, and which are trusted."""
    flat = [one for own in of_rows for one in own]
    return (
        np.array([number for number, _ in flat], np.int64),
        offsets_of(np.array([len(own) for own in of_rows], np.int64)),
        np.array([trusted for _, trusted in flat], bool),
    )


@given(st.lists(NEGATIVES, max_size=4), st.booleans())
def test_of_equal_negatives_the_first_that_is_trusted_stays(of_rows, with_trust):
    """Taking the first alone would forget that a person trusts it."""
    expected = []
    for own in of_rows:
        for place, (number, _) in enumerate(own):
            alike = [other for other, (one, _) in enumerate(own) if one == number]
            preferred = [other for other in alike if own[other][1]] if with_trust else []
            expected.append(place != (preferred or alike)[0])
    negatives, offsets, trusted = arrays(of_rows)
    found = repeated_negatives(negatives, offsets, trusted if with_trust else None)
    assert found.tolist() == expected


@given(st.lists(ROW, max_size=6), st.booleans(), st.booleans())
def test_a_pair_repeats_if_all_of_it_is_the_same(rows, with_trust, with_weights):
    expected, seen = [], {}
    of_rows = [list({number: (number, trusted) for number, trusted in own}.values()) for *_, own, _ in rows]
    for (anchor, positives, _, weight), own in zip(rows, of_rows, strict=True):
        for positive in positives:
            negatives = frozenset(own) if with_trust else frozenset(number for number, _ in own)
            pair = (anchor, positive, negatives, weight if with_weights else None)
            expected.append(seen.get(pair, -1))
            seen.setdefault(pair, len(expected) - 1)
    of_pair = np.repeat(np.arange(len(rows)), [len(positives) for _, positives, *_ in rows])
    negatives, offsets, trusted = arrays(of_rows)
    found = earlier_pair(
        np.array([row[0] for row in rows], np.int64)[of_pair],
        np.array([positive for row in rows for positive in row[1]], np.int64),
        of_pair,
        negatives,
        offsets,
        trusted=trusted if with_trust else None,
        weights=np.array([row[3] for row in rows], np.float32)[of_pair] if with_weights else None,
    )
    assert found.tolist() == expected


@given(st.lists(st.tuples(NUMBER, NUMBER), max_size=5), st.lists(st.tuples(NUMBER, NUMBER), max_size=5))
def test_what_is_known(asked, known):
    owners, texts = np.array(asked, np.int64).reshape(-1, 2).T
    known_owners, known_texts = np.array(known, np.int64).reshape(-1, 2).T
    found = are_known(owners, texts, known_owners, known_texts)
    assert found.tolist() == [one in known for one in asked]
