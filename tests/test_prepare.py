"""What a run chooses by itself."""

import json
import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from gistembed import MarginSchedule, MaskPolicy, UserError, fit
from gistembed.config import RunConfig, run_config
from gistembed.console import Console
from gistembed.models import EmbeddingModel
from gistembed.prepare.guides import ignored_by_guides
from gistembed.prepare.plan import _mask_policy, default_batch_size
from gistembed.prepare.run import prepare_run
from tests.pairs.pairs_samples import pairs_of
from tests.real_text import documentation_pairs


@pytest.mark.parametrize(
    ("pairs", "size"),
    [
        (2, 2),
        (15, 15),
        (16, 16),
        (300, 16),
        (511, 16),
        (512, 32),
        (1023, 32),
        (1024, 64),
        (2048, 128),
        (10**7, 128),
    ],
)
def test_default_batch_leaves_an_epoch_some_steps(pairs, size):
    """With 128 for everyone, 270 pairs trained for two steps an epoch and learned nothing."""
    assert default_batch_size(pairs) == size


def config(**settings):
    least = {"data": "pairs.csv", "student": "s", "guide": "g", "out": "o"}
    return RunConfig(**least | settings)


@pytest.fixture
def pairs(tmp_path):
    """40 real pairs in a file."""
    path = tmp_path / "pairs.jsonl"
    rows = [{"anchor": anchor, "positive": positive} for anchor, positive in documentation_pairs()[:40]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_student_whose_inputs_are_more_than_tokens_is_told_of(
    pairs, static_folder, tmp_path, monkeypatch, capfd
):
    """It trains all the same, but slower."""
    inputs = EmbeddingModel.inputs
    monkeypatch.setattr(EmbeddingModel, "inputs", lambda *words: {**inputs(*words), "weights": torch.ones(3)})
    models = {"student": static_folder, "guide": static_folder, "store": tmp_path / "store"}
    run = prepare_run(config(data=pairs, **models), Console())
    assert run.tokens.uncached_because is not None
    assert (
        "texts are tokenised anew at each step: the student reads `weights`, which is neither the ids of "
        "tokens nor their offsets\n"
    ) in capfd.readouterr().err


TRAIN = pairs_of([("a", "b", ["c", "d"]), ("e", "f", ["g"])])


def test_the_mask_of_a_run():
    settings = {"margin": 0.1, "contrast_anchors": False, "mask": {"max_masked": 3, "strict": False}}
    expected = MaskPolicy(margin=0.1, contrast_anchors=False, max_masked=3, strict=False)
    assert _mask_policy(config(**settings), TRAIN) == expected
    assert _mask_policy(config(mask={"negatives": "explicit"}), TRAIN).negatives == "explicit"
    assert _mask_policy(config(mask=every_setting(expected)), TRAIN) == expected


def every_setting(policy):
    """A policy as a whole table."""
    return {field.name: getattr(policy, field.name) for field in fields(policy)}


def test_the_example_of_the_documentation():
    """docs/loss.md shows a table; a run takes it as it stands there."""
    page = (Path(__file__).parents[1] / "docs" / "loss.md").read_text(encoding="utf-8")
    [example] = re.findall(r"^```toml\n(\[mask\]\n.*?)^```$", page, re.DOTALL | re.MULTILINE)
    expected = MaskPolicy(
        margin_strategy="relative", margin={"ap": 0.0, "pp": 0.05}, limit_floor=0.3, max_masked=0.5
    )
    assert _mask_policy(config(**tomllib.loads(example)), TRAIN) == expected


@pytest.mark.parametrize(
    ("written", "margin"),
    [
        (
            "{start = 0.2, end = 0.0, steps = 9, shape = 'cosine'}",
            MarginSchedule(0.2, 0.0, 9, "cosine"),
        ),
        (
            "{ap = {start = 0.2, end = 0.0, steps = 9}, pp = 0.05}",
            {"ap": MarginSchedule(0.2, 0.0, 9), "pp": 0.05},
        ),
    ],
)
def test_a_schedule_reaches_training(written, margin, pairs, static_folder, tmp_path):
    settings = tomllib.loads(f"[mask]\nmargin = {written}")
    models = {"student": static_folder, "guide": static_folder, "store": tmp_path / "store"}
    run = prepare_run(config(data=pairs, **models, **settings, kernel="torch"), Console(quiet=True))
    assert run.plan.policy == MaskPolicy(margin=margin)
    assert run.plan.kernel == "torch"
    assert not (tmp_path / "store").exists()


def test_a_run_with_a_schedule(pairs, static_folder, tmp_path, monkeypatch):
    """At step 0 everything is masked, at step 1 nothing; resumed, and said in record, report and card."""
    margin = {"start": 3.0, "end": -3.0, "steps": 1}
    words = (pairs, static_folder, static_folder)
    settings = {"out": tmp_path / "out", "store": tmp_path / "store", "batch_size": 8, "steps": 2}

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("gistembed.pipeline.train_student", stop)
        with pytest.raises(KeyboardInterrupt):
            fit(*words, mask={"margin": margin}, quiet=True, **settings)
    for other in ({"margin": margin | {"end": -2.0}}, {}):
        with pytest.raises(UserError) as caught:
            fit(*words, mask=other, resume=True, quiet=True, **settings)
        assert str(caught.value) == (
            f"--resume: the run in {tmp_path / 'out'} was begun with mask = {{'margin': {margin}}}, "
            f"not {other}; use the same settings, or another --out"
        )
    result = fit(*words, mask={"margin": margin}, resume=True, quiet=True, **settings)

    rates = [
        {name: rate for name, rate in step.metrics.items() if name.startswith("mask_rate/")}
        for step in result.record.trainings[0].history
    ]
    blocks = ("mask_rate/ap", "mask_rate/aa", "mask_rate/pp")
    assert rates == [dict.fromkeys(blocks, 1.0), dict.fromkeys(blocks, 0.0)]
    assert result.record.audit.mask_rate == dict.fromkeys(("ap", "aa", "pp"), 1.0)
    record = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert record["config"]["mask"] == {"margin": margin}
    assert "margin" not in record["config"]
    page = result.report.read_text(encoding="utf-8")
    card = (result.model / "README.md").read_text(encoding="utf-8")
    for name, value in margin.items():
        assert f'<th scope="row">mask.margin.{name}</th><td>{value}</td>' in page
        assert f"| mask.margin.{name} | {value} |" in card


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mask": {"margin": {"start": 0.2, "end": 0}}}, "margin: a schedule needs `steps`"),
        ({"mask": {"maxmasked": 3}}, "unknown setting `maxmasked`; did you mean `max_masked`?"),
        (
            {"mask": {"guide_vote": "all"}},
            "guide_vote: one guide has nobody to vote with; name several guides, or leave it out",
        ),
        (
            {"mask": {"compat": "sentence-transformers"}, "compare_unguided": True},
            "compat: those numbers need a guide; train without one in a run of its own",
        ),
    ],
)
def test_refusals_of_the_mask(settings, message):
    with pytest.raises(UserError, match=f"^{re.escape(f'[mask] {message}')}$"):
        _mask_policy(config(**settings), TRAIN)


def test_explicit_negatives_are_needed_everywhere():
    train = pairs_of([("a", "b", ["c"]), ("e", "f", []), ("g", "h", [])])
    message = "[mask] negatives: 2 of 3 training pairs have no negative of their own"
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        _mask_policy(config(mask={"negatives": "explicit"}), train)


@pytest.mark.parametrize(
    ("guides", "expected"),
    [
        (["my/guide"], ["guide_price is ignored, because the guide is a model"]),
        (["http://h/v1#m"], ["guide_workers is ignored, because the guide is an endpoint"]),
        (
            ["v.npy", "w.npy"],
            [
                f"{name} is ignored, because each guide is a file of vectors"
                for name in ("guide_dimensions", "guide_workers", "guide_price", "store")
            ],
        ),
        (
            ["my/guide", "v.npy"],
            [
                "guide_dimensions is ignored for the guide v.npy, because that is a file of vectors",
                "guide_price is ignored, because each guide is a model or a file of vectors",
            ],
        ),
        (
            ["http://h/v1#m", "columns:anchor=a,positive=p"],
            [
                "guide_dimensions is ignored for the guide columns:anchor=a,positive=p, because that is "
                "columns of vectors",
                "guide_workers is ignored, because each guide is an endpoint or columns of vectors",
            ],
        ),
        (["my/guide", "http://h/v1#m"], []),
    ],
    ids=str,
)
def test_settings_that_a_guide_ignores_are_told_of_each(guides, expected):
    """With a model beside it, a file of vectors ignored guide_dimensions without a word."""
    given = {"guide_dimensions": 2, "guide_workers": 2, "guide_price": 1.0, "store": "store"}
    settings = {"data": "d.csv", "student": "s", "guide": guides, "out": "out"}
    config = run_config(settings | given, source="test")
    assert ignored_by_guides(config, guides) == expected
