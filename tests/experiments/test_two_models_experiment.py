"""Two models that guide each other: which round is kept, and what it says."""

import pytest
from experiments.harness import Training
from experiments.two_models import Job, kept_round, train_together

from experiments import two_models
from gistembed.errors import StorageError, UserError


def test_the_best_round_by_dev_is_kept_and_reported_by_test():
    rounds = [
        {"dev": [0.1, 0.1], "test": [0.9]},
        {"dev": [0.3, 0.5], "test": [0.2]},
        {"dev": [0.4, 0.4], "test": [0.8]},
    ]
    kept = kept_round(rounds)
    assert kept.dev.by_query.tolist() == [0.3, 0.5]
    assert kept.tests["test"].by_query.tolist() == [0.2]


def test_what_is_kept_of_a_cotraining_is_found_by_all_that_decides_it(tmp_path, monkeypatch):
    """By way, models' letters and seed alone, a figure of other models or settings would be reported."""
    for name in ("pairs", "dev", "test"):
        (tmp_path / name).write_text(name)
    for name in ("a", "b"):
        (tmp_path / name / "model").mkdir(parents=True)
        (tmp_path / name / "model" / "config.json").write_text(name)

    def job(**changed):
        settings = {"data": str(tmp_path / "pairs"), "temperature": changed.pop("temperature", 0.1)}
        training = Training(settings, tmp_path / "dev", {"test": tmp_path / "test"})
        models = tuple(str(tmp_path / name / "model") for name in changed.pop("models", "ab"))
        given = {"models": models, "way": {"variant": "ema"}, "training": training, "seed": 1}
        return Job(**(given | changed), work=tmp_path / "kept").place

    first = job()
    assert job() == first
    assert first.parent == tmp_path / "kept"
    others = [job(models="a"), job(models="ba"), job(way={"variant": "self"}), job(seed=2)]
    others.append(job(temperature=0.2))
    monkeypatch.setattr(two_models, "_ROUNDS", 9)
    others.append(job())
    monkeypatch.undo()
    monkeypatch.setattr(two_models, "_EPOCHS", 9)
    others.append(job())
    assert len({first, *others}) == 8


@pytest.mark.parametrize(
    ("refusal", "line"),
    [
        (UserError("stopped at step 3"), "a and b, variant=ema, decay=1.0, seed=2: stopped at step 3"),
        (StorageError("no space"), "no space"),
    ],
)
def test_a_cotraining_that_fails_is_named_but_a_full_disk_is_no_matter_of_one(
    refusal, line, tmp_path, monkeypatch
):
    def refuse(*_, **__):
        raise refusal

    monkeypatch.setattr(two_models, "cotrain", refuse)
    training = Training({}, tmp_path / "dev", {"test": tmp_path / "test"})
    with pytest.raises(UserError) as error:
        train_together(Job(("a", "b"), {"variant": "ema", "decay": 1.0}, training, 2, tmp_path))
    assert str(error.value) == line
    assert isinstance(error.value, type(refusal))
