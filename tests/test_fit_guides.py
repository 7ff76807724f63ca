"""Runs with several guides, and with a student that is its own, end to end."""

import json

import numpy as np
import pytest

from gistembed import UserError, fit


@pytest.fixture
def pairs(tmp_path):
    """30 pairs in three groups of like wording."""
    path = tmp_path / "pairs.jsonl"
    rows = [{"query": f"q{i} word{i % 3}", "pos": f"p{i} word{i % 3}"} for i in range(30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def run(pairs, tmp_path, static_folder):
    """A run into a folder of this name."""

    def call(out, guide=None, **settings):
        settings = {"batch_size": 9, "steps": 2, "quiet": True} | settings
        return fit(pairs, str(static_folder), guide, out=tmp_path / out, store=tmp_path / "store", **settings)

    return call


def page_and_card(result):
    return result.report.read_text(encoding="utf-8"), (result.model / "README.md").read_text(encoding="utf-8")


def test_two_guides_decide_together(run, static_folder, bert_folder):
    guides = [str(static_folder), str(bert_folder)]
    alone = [run(f"alone{number}", guide).record for number, guide in enumerate(guides)]
    both = run("both", guides, mask={"guide_vote": "all"})
    assert both.record.status == "finished"
    assert [guide.model.name for guide in both.record.guides] == guides
    assert [guide.encoded for guide in both.record.guides] == [0, 0], "each has a store of its own"
    assert both.record.inputs["guide 2"] == alone[1].inputs["guide"]
    for block, rate in both.record.audit.mask_rate.items():
        assert rate <= min(record.audit.mask_rate[block] for record in alone)
    page, card = page_and_card(both)
    for number, guide in enumerate(guides, 1):
        assert f"Guide {number}" in page
        assert f"| model | {guide} |" in card
    assert "guided by static and bert" in page
    assert "with a committee of 2 frozen guide models that keeps" in card


def test_a_file_of_vectors_twice_is_two_guides(run, pairs, tmp_path):
    """To be told apart by their place: comparing their arrays ended the run."""
    rows = [json.loads(line) for line in pairs.read_text(encoding="utf-8").splitlines()]
    texts = [row[name] for row in rows for name in ("query", "pos")]
    np.save(tmp_path / "v.npy", np.random.default_rng(0).standard_normal((len(texts), 4), np.float32))
    (tmp_path / "v.texts.json").write_text(json.dumps(texts), encoding="utf-8")
    once = run("once", str(tmp_path / "v.npy")).record
    twice = run("twice", [str(tmp_path / "v.npy")] * 2).record
    assert [guide.model.name for guide in twice.guides] == [str(tmp_path / "v.npy")] * 2
    assert twice.audit.mask_rate == once.audit.mask_rate


def test_a_student_is_its_own_guide(run, static_folder):
    """What it masks before the first step is what a frozen copy of it masks."""
    itself = run("itself", mask={"scorer": "student"}, compare_unguided=True)
    frozen = run("frozen", str(static_folder)).record
    assert itself.record.audit.mask_rate == pytest.approx(frozen.audit.mask_rate, abs=0.02)
    assert sum(itself.record.audit.mask_rate.values()) > 0
    (guide,) = itself.record.guides
    assert (guide.model.kind, guide.store, guide.encoded) == ("the student itself", None, 0)
    by_name = {training.model: training for training in itself.record.trainings}
    rates = {
        name: sum(
            value for key, value in training.history[-1].metrics.items() if key.startswith("mask_rate/")
        )
        for name, training in by_name.items()
    }
    assert rates["guided"] > 0
    assert rates["unguided"] == 0
    page, card = page_and_card(itself)
    assert "guided by itself" in page
    assert "with itself as a guide that keeps" in card
    assert "| kind | the student itself, as it is at each step |" in card


def test_settings_of_guides_have_no_effect_on_a_student_that_is_its_own(run, capsys):
    warned = run("out", mask={"scorer": "student"}, guide_max_length=9).record.warnings
    ignored = [warning for warning in warned if "ignored" in warning]
    assert ignored == [
        "guide_max_length is ignored, because the student is its own guide",
        "store is ignored, because the student is its own guide",
    ]


def test_a_student_that_is_its_own_guide_takes_no_other(run, bert_folder, tmp_path):
    with pytest.raises(UserError) as caught:
        run("out", str(bert_folder), mask={"scorer": "student"})
    assert '[mask] scorer = "student": the student is its own guide; leave guide out' in str(caught.value)
    assert not (tmp_path / "out").exists()
