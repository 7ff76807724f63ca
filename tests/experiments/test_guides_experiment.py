"""What stands in for a guide, and what the tables say of a mask."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from experiments.harness import multilingual
from experiments.harness.columns import gain_over, of_mask, of_quality
from experiments.harness.given import random_guide
from experiments.harness.mask_quality import MaskQuality
from experiments.harness.scores import DevScores, TestScores
from experiments.harness.training import DataFolder, Trained


def _trained(scores, **metrics):
    return Trained(DevScores(np.zeros(1)), {"test": TestScores(np.array(scores))}, metrics)


def test_every_text_has_one_random_vector(tmp_path):
    train = tmp_path / "data" / "train.jsonl"
    train.parent.mkdir()
    rows = [{"anchor": "a", "positive": "b"}, {"anchor": "b", "positive": "c"}]
    train.write_text("".join(json.dumps(row) + "\n" for row in rows))
    file = random_guide(train, tmp_path / "vectors")
    vectors, texts = np.load(file), json.loads(Path(file).with_suffix(".texts.json").read_text())
    assert vectors.shape == (3, 64)
    assert sorted(texts) == ["a", "b", "c"]
    assert random_guide(train, tmp_path / "other") != file
    assert np.array_equal(np.load(random_guide(train, tmp_path / "other")), vectors)


def test_data_sets_of_one_name_have_random_vectors_of_their_own(tmp_path):
    """By the name of the folder alone the second would overwrite the first."""
    files = []
    for number in range(2):
        train = tmp_path / str(number) / "data" / "train.jsonl"
        train.parent.mkdir(parents=True)
        train.write_text(json.dumps({"anchor": f"a{number}", "positive": "b"}) + "\n")
        files.append(Path(random_guide(train, tmp_path / "vectors")))
    texts = [sorted(json.loads(file.with_suffix(".texts.json").read_text())) for file in files]
    assert texts == [["a0", "b"], ["a1", "b"]]


def test_multilingual_vectors_are_made_anew_for_another_encoder(tmp_path, monkeypatch):
    """By the pairs alone, the vectors of the encoder before would be found."""
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"anchor": "a", "positive": "b"}\n')
    names = [str(tmp_path / "encoder-1"), str(tmp_path / "encoder-2")]
    for number, name in enumerate(names):
        Path(name).mkdir()
        Path(name, "weights.npz").write_bytes(bytes([number]))
    monkeypatch.setattr(
        multilingual,
        "multilingual_vectors",
        lambda texts, name: np.full((len(texts), 2), names.index(name), np.float32),
    )
    found = []
    for name in names:
        lab = SimpleNamespace(work=tmp_path / "work", model=lambda _, name=name: name)
        found.append(np.load(multilingual.multilingual_guide(lab, DataFolder(folder)))[0, 0])
    assert found == [0, 1]


def test_columns_of_a_mask():
    trained = [_trained([0.5], **{"mask_rate/ap": 0.1, "mask_rate/pp": 0.3}), _trained([0.5])]
    quality = MaskQuality(candidates=100, false_negatives=10, masked=8, right=6)
    assert of_mask(trained, quality) == {
        "masked": "0.2000",
        "precision": "0.7500",
        "recall": "0.6000",
        "prevalence": "0.1000",
    }


def test_what_is_not_known_of_a_mask_is_empty():
    empty = {"precision": "", "recall": "", "prevalence": ""}
    assert of_mask([_trained([0.5])], None) == {"masked": "", **empty}
    none_false = MaskQuality(candidates=100, false_negatives=0, masked=0, right=0)
    assert of_quality(none_false) == {"precision": "", "recall": "", "prevalence": "0.0000"}


def test_the_baseline_has_no_gain_over_itself():
    baseline = [_trained([0.5, 0.5])]
    assert gain_over(baseline, baseline) == dict.fromkeys(gain_over([_trained([0.6, 0.7])], baseline), "")
    assert gain_over([_trained([0.6, 0.7])], baseline)["gain"] == "+0.1500"
