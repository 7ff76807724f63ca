"""Classification and clustering: what embeddings tell of classes, as MTEB measures it."""

import random
import warnings
from collections import Counter

import numpy as np
from jaxtyping import Float32, Int64

from gistembed.evaluate.scorers.scored import Embed, Scored, embed_ids
from gistembed.evaluate.tasks.task import Classification, Clustering

SEED = 42
EXPERIMENTS = 10
SAMPLES_PER_LABEL = 8
_ITERATIONS = 100
_KMEANS_BATCH = 512
LARGEST_SAMPLE = 16_384


def score_classification(task: Classification, embed: Embed) -> Scored:
    """Learn the classes from a few texts of each, ten times, and tell the class of the others.

    Args:
        task: The task.
        embed: The model.

    Source: MTEB (arXiv 2210.07316): logistic regression on 8 texts of each class, 10 draws, seed 42.
    """
    draws = few_shots(task.train_labels)
    used = np.unique(np.concatenate(draws))
    train = embed_ids(task.texts, task.train[used], embed, "text")
    test = embed_ids(task.texts, task.test, embed, "text")
    experiments = []
    right = np.zeros(len(task.test))
    for draw in draws:
        predicted = _predicted(train[np.searchsorted(used, draw)], task.train_labels[draw], test)
        experiments.append(_class_metrics(task.test_labels, predicted))
        right += predicted == task.test_labels
    return Scored(
        {name: float(np.mean([one[name] for one in experiments])) for name in experiments[0]},
        {
            "text": task.texts.of(task.test),
            "label": [task.classes[label] for label in task.test_labels.tolist()],
            "accuracy": right / len(draws),
        },
        experiments,
    )


def few_shots(labels: Int64[np.ndarray, " texts"]) -> list[Int64[np.ndarray, " drawn"]]:
    """The texts that each experiment learns from, by their place.

    Args:
        labels: The class of each text.

    Source: MTEB's undersampling; each experiment shuffles the order of the one before by the same seed.
    """
    order = list(range(len(labels)))
    draws = []
    for _ in range(EXPERIMENTS):
        np.random.RandomState(SEED).shuffle(order)
        counts: Counter[int] = Counter()
        drawn = []
        for place in order:
            label = int(labels[place])
            if counts[label] < SAMPLES_PER_LABEL:
                drawn.append(place)
                counts[label] += 1
        draws.append(np.array(drawn, np.int64))
    return draws


def _predicted(
    train: Float32[np.ndarray, "train dim"],
    labels: Int64[np.ndarray, " train"],
    test: Float32[np.ndarray, "test dim"],
) -> Int64[np.ndarray, " test"]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        # MTEB stops after so many iterations, converged or not.
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier = LogisticRegression(max_iter=_ITERATIONS, random_state=SEED).fit(train, labels)
    predicted: Int64[np.ndarray, " test"] = classifier.predict(test)
    return predicted


def _class_metrics(
    labels: Int64[np.ndarray, " texts"], predicted: Int64[np.ndarray, " texts"]
) -> dict[str, float]:
    from sklearn.metrics import accuracy_score, average_precision_score, f1_score

    metrics = {
        "accuracy": float(accuracy_score(labels, predicted)),
        "f1": float(f1_score(labels, predicted, average="macro")),
        "f1_weighted": float(f1_score(labels, predicted, average="weighted")),
    }
    if len(np.unique(labels)) == 2 and labels.max() == 1:
        metrics["ap"] = float(average_precision_score(labels, predicted))
    return metrics


def score_clustering(task: Clustering, embed: Embed) -> Scored:
    """Cluster samples of the texts, ten times, and compare the clusters with the classes.

    Args:
        task: The task.
        embed: The model.

    Source: MTEB's clustering (arXiv 2502.13595): mini-batch k-means with as many clusters as classes, on ten
    samples with replacement; V-measure (Rosenberg and Hirschberg 2007). A sample is as large as the task,
    16,384 texts at most.
    """
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import adjusted_mutual_info_score, v_measure_score

    vectors = embed_ids(task.texts, task.members, embed, "text")
    drawing = random.Random(SEED)  # the generator that MTEB draws with
    kmeans = MiniBatchKMeans(
        n_clusters=len(task.classes), batch_size=_KMEANS_BATCH, init="k-means++", n_init=1, random_state=SEED
    )
    experiments = []
    for _ in range(EXPERIMENTS):
        drawn = drawing.choices(range(len(vectors)), k=min(len(vectors), LARGEST_SAMPLE))
        with warnings.catch_warnings():
            # Texts that have one embedding make fewer clusters; the score says so.
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = kmeans.fit_predict(vectors[drawn])
        labels = task.labels[drawn]
        experiments.append(
            {
                "v_measure": float(v_measure_score(labels, found)),
                "ami": float(adjusted_mutual_info_score(labels, found)),
            }
        )
    return Scored(
        {name: float(np.mean([one[name] for one in experiments])) for name in experiments[0]},
        {
            "sample": list(range(EXPERIMENTS)),
            **{name: [one[name] for one in experiments] for name in experiments[0]},
        },
        experiments,
    )
