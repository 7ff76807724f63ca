"""Draws written as loops over the full matrix of similarities, to compare with."""

import math

import numpy as np


def draw_by_loops(vectors, labels, seed, topk, temperature):
    """(positive, negative) of each row, None for a row alone in its class."""
    unit = [[float(value) for value in vector] for vector in unit_rows(vectors)]
    similarity = [[math.fsum(a * b for a, b in zip(x, y, strict=True)) for y in unit] for x in unit]
    for_positives, for_negatives = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(2))
    uniforms = for_positives.random(len(labels)).tolist()
    counts = [len(labels) - sum(other == label for other in labels) for label in labels]
    numbers = for_negatives.integers(0, counts).tolist()
    drawn = []
    for row, label in enumerate(labels):
        same = [other for other in range(len(labels)) if labels[other] == label and other != row]
        if not same:
            drawn.append((None, None))
            continue
        same.sort(key=lambda other: (-similarity[row][other], other))
        nearest = same[:topk]
        positive = nearest[inverse([similarity[row][one] for one in nearest], uniforms[row], temperature)]
        others = sorted(
            (other for other in range(len(labels)) if labels[other] != label),
            key=lambda other: (labels[other], other),
        )
        drawn.append((positive, others[numbers[row]]))
    return drawn


def inverse(scores, uniform, temperature):
    """The candidate at which the cumulated softmax passes a number."""
    weights = [math.exp((score - scores[0]) / temperature) for score in scores]
    total, passed = sum(weights), 0.0
    for place, weight in enumerate(weights):
        passed += weight
        if passed > uniform * total:
            return place
    raise AssertionError("the number is below 1")


def softmax(scores, temperature):
    weights = [math.exp((score - max(scores)) / temperature) for score in scores]
    return [weight / sum(weights) for weight in weights]


def unit_rows(vectors):
    """Rows at length 1, in the float32 that is compared."""
    vectors = vectors.astype(np.float64)
    return (vectors / np.sqrt((vectors**2).sum(axis=1, keepdims=True))).astype(np.float32)
