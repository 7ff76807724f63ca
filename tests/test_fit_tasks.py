"""Runs over several sources of pairs, each a task of its own, end to end."""

# ruff: noqa: E501  (each case is one line: the input and the whole message)

import json

import numpy as np
import pytest

from gistembed import UserError, fit
from gistembed.config import RunConfig
from gistembed.console import Console
from gistembed.prepare.run import prepare_run


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def sources(tmp_path):
    """40 pairs without negatives, and 24 with two each, of which the second is trusted."""
    plain = [{"query": f"q{i} word{i % 3}", "pos": f"p{i} word{i % 3}"} for i in range(40)]
    hard = [
        {
            "query": f"h{i} thing{i % 3}",
            "pos": f"d{i} thing{i % 3}",
            "neg": [f"n{i} thing{i % 3}", f"t{i} thing{i % 3}"],
            "neg_trusted": [False, True],
            "prompt": "Find: ",
            "weight": 1 + i % 2,
        }
        for i in range(24)
    ]
    return [write(tmp_path / "faq.jsonl", plain), write(tmp_path / "shop.jsonl", hard)]


@pytest.fixture
def settings(sources, static_folder, tmp_path):
    return {
        "data": [str(path) for path in sources],
        "student": str(static_folder),
        "guide": [str(static_folder)],
        "out": tmp_path / "out",
        "store": tmp_path / "store",
        "batch_size": 8,
        "steps": 3,
    }


def prepared(settings, **more):
    return prepare_run(RunConfig(**settings | more), Console(quiet=True))


def test_every_source_is_a_task(settings):
    run = prepared(settings, batches="one_task", tasks={"shop": {"negatives": "explicit"}})
    train = run.train
    assert train.task_names == ("faq", "shop")
    for rows in run.plan.batches.epoch(0):
        assert len(set(train.tasks[rows].tolist())) == 1
    assert run.plan.policy.negatives == "both"
    assert {task: policy.negatives for task, policy in run.plan.task_policies.items()} == {1: "explicit"}
    assert set(train.weights.tolist()) == {1.0, 2.0}
    assert train.trusted.sum() == len(train.trusted) / 2
    assert run.warnings[:1] == [
        "instructions that nobody reads stand in 24 rows; to put them before the texts, set "
        'instructions to "prefix"'
    ]
    assert {train.place(row).partition(":")[0] for row in range(len(train))} == set(settings["data"])


def test_a_task_has_negatives_of_its_own_in_training_and_audit(settings):
    settings |= {"batches": "one_task", "mixing": "round_robin", "quiet": True, "steps": 4}
    data, student, guide, out = (settings.pop(name) for name in ("data", "student", "guide", "out"))
    result = fit(data, student, guide, out=out, tasks={"faq": {"negatives": "in_batch"}}, **settings)
    assert result.record.status == "finished"
    assert result.record.audit.mask_rate.keys() == {"ap", "aa", "pp", "an"}
    assert result.record.train_data.source == " + ".join(data)
    (training,) = result.record.trainings
    assert all(np.isfinite(step.loss) for step in training.history)


def test_trusted_negatives_stay_in_the_softmax(settings, tmp_path):
    """By the guide's vectors, both negatives of each row are its anchor; the second is trusted."""
    rows = [json.loads(line) for line in (tmp_path / "shop.jsonl").read_text("utf-8").splitlines()]
    vectors = {}
    for number, row in enumerate(rows):
        own = np.eye(len(rows) + 1)[number]
        vectors |= dict.fromkeys([row["query"], *row["neg"]], own)
        vectors[row["pos"]] = own + np.eye(len(rows) + 1)[-1]
    np.save(tmp_path / "v.npy", np.array(list(vectors.values()), np.float32))
    (tmp_path / "v.texts.json").write_text(json.dumps(list(vectors)), encoding="utf-8")
    settings |= {"guide": str(tmp_path / "v.npy"), "quiet": True, "steps": 1}
    settings["data"] = settings["data"][1]

    def rate(name, **more):
        record = fit(**settings | more | {"out": tmp_path / name}).record
        return record.audit.mask_rate["an"]

    # Of 16 candidates, eight rows' negatives, a row loses its own two, its own first, or none.
    columns = {"anchor": "query", "positive": "pos", "negative": "neg"}
    assert rate("nobody", columns=columns) == pytest.approx(2 / 16)
    assert rate("second") == pytest.approx(1 / 16)
    assert rate("all", mask={"trust_negatives": True}) == 0


def test_instructions_before_the_texts(settings):
    run = prepared(settings, instructions="prefix")
    anchors = {run.train.texts[text] for text in run.train.anchors}
    assert any(text.startswith("Find: h") for text in anchors)
    assert not any("instruction" in warning for warning in run.warnings)


def test_what_is_encoded_ahead_is_all_that_a_run_needs(run, settings):
    """Two sources, of which one has instructions to put before its texts."""
    guide, store = settings["guide"][0], settings["store"]
    base = ("guide", "encode", *settings["data"], "--guide", guide, "--store", store, "--json")
    assert run(*base)[0] == 0
    (ahead,) = prepared(settings).guides
    assert len(ahead.missing) == 0
    (ahead,) = prepared(settings, instructions="prefix").guides
    assert len(ahead.missing) > 0, "the prefixed texts are others"
    code, out, err = run(*base, "--instructions", "prefix")
    # All other texts are there; these are the anchors with their instructions.
    assert (code, err, json.loads(out)["encoded"]) == (0, "", 24)
    data, student, guide, out = (settings.pop(name) for name in ("data", "student", "guide", "out"))
    result = fit(data, student, guide, out=out, instructions="prefix", quiet=True, **settings)
    (guide,) = result.record.guides
    assert (guide.encoded, guide.texts > 0) == (0, True)


def test_instructions_are_ignored_or_put_before(run, settings):
    base = ("guide", "encode", *settings["data"], "--guide", settings["guide"][0])
    code, _, err = run(*base, "--instructions", "prompt")
    assert (code, err) == (
        2,
        "gistembed: --instructions prompt: unknown; choose one of ignore, prefix\n",
    )


def test_texts_that_count_as_one_are_on_one_side(settings, tmp_path):
    rows = [{"query": f"{'Q' if i % 2 else 'q'}{i // 2}", "pos": f"p{i}"} for i in range(60)]
    settings |= {"data": [str(write(tmp_path / "case.jsonl", rows))], "same_text": "normalised"}
    run = prepared(settings)
    held = run.tasks["held-out"].pairs
    sides = [{pairs.texts[text].casefold() for text in pairs.anchors} for pairs in (run.train, held)]
    assert not sides[0] & sides[1]
    assert run.train.same is not None


def test_graded_pairs(settings, tmp_path):
    rows = [{"q": f"q{i}", "doc": f"d{i}", "label": i % 2} for i in range(40)]
    settings |= {"data": [str(write(tmp_path / "graded.jsonl", rows))], "min_score": 1.0}
    run = prepared(settings)
    assert len(run.pairs) == 20
    assert run.pairs.columns.more == {"score": ("label",)}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"tasks": {"x": {"negatives": "both"}}, "batches": "one_task"}, "[tasks] x: there is no such task; the tasks are faq, shop"),
        ({"tasks": {"faq": {"negatives": "explicit"}}, "batches": "one_task"}, "[tasks] faq: negatives: 35 of 35 training pairs have no negative of their own"),
        ({"batches": "one_task", "batch_size": 32}, "--batch-size 32: an epoch has 23 pairs of task shop, too few for a batch of their own; choose a smaller size, or set batches to \"mixed\""),
        ({"guide": ["columns:anchor=a,positive=b"]}, "--guide columns:anchor=a,positive=b: columns of vectors are read from one source of pairs, not from several"),
    ],
)  # fmt: skip
def test_refusals(settings, more, message):
    with pytest.raises(UserError) as error:
        prepared(settings, **more)
    assert str(error.value) == message


def test_settings_that_contradict_each_other(run, settings, tmp_path):
    base = ["fit", *settings["data"], "--student", "s", "--guide", "g", "--out", tmp_path / "o"]
    (tmp_path / "own.toml").write_text('[tasks.faq]\nnegatives = "explicit"\n', encoding="utf-8")
    code, _, err = run(*base, "--config", tmp_path / "own.toml")
    assert (code, err.partition(": ")[2]) == (
        2,
        f'{tmp_path}/own.toml: [tasks] faq: negatives of its own need batches of its own; set batches to "one_task"\n',
    )
    code, _, err = run(*base, "--max-score", "0")
    assert (
        err
        == "gistembed: --max-score 0.0: max_score tells negatives from positives only with min_score; give both\n"
    )


def test_findings_are_told_kept_and_shown(settings, tmp_path, capfd):
    rows = [{"query": f"a long text about thing{i} that goes on and on", "pos": f"what is thing{i}?"} for i in range(60)]  # fmt: skip
    settings |= {"data": str(write(tmp_path / "reversed.jsonl", rows)), "steps": 1}
    data, student, guide, out = (settings.pop(name) for name in ("data", "student", "guide", "out"))
    result = fit(data, student, guide, out=out, **settings)
    (finding,) = [one for one in result.record.findings if one.code == "reversed-columns"]
    assert finding.what in capfd.readouterr().err
    page = result.report.read_text(encoding="utf-8")
    assert "What the doctor found" in page
    assert finding.advice in page
