"""`fit` that is told to end, that keeps the best model, and that looks at what it has saved."""

import json
import os
import shlex
import signal

import pytest
import torch

from gistembed import UserError, fit, pipeline
from gistembed.folder import RunFolder
from tests.real_text import documentation_pairs


@pytest.fixture
def data(tmp_path):
    """60 real pairs in a file."""
    path = tmp_path / "pairs.jsonl"
    rows = [{"anchor": anchor, "positive": positive} for anchor, positive in documentation_pairs()[:60]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def words(data, static_folder, out):
    settings = ["--loss", "infonce", "--batch-size", 10, "--steps", 6, "--quiet"]
    return ["fit", data, "--student", static_folder, "--out", out, *settings]


def at_step(monkeypatch, wanted, action):
    """Have something done after a step of a training."""
    train_student = pipeline.train_student

    def acting(*arguments, on_step, **options):
        def both(step):
            on_step(step)
            if step == wanted:
                action()

        return train_student(*arguments, on_step=both, **options)

    monkeypatch.setattr(pipeline, "train_student", acting)


def test_sigterm_saves_and_says_how_to_go_on(run, monkeypatch, data, static_folder, tmp_path):
    cut, whole = (words(data, static_folder, tmp_path / name) for name in ("cut", "whole"))
    code, verdict, _ = run(*whole)
    assert code == 0
    with monkeypatch.context() as patch:
        at_step(patch, 4, lambda: os.kill(os.getpid(), signal.SIGTERM))
        code, out, err = run(*cut)
    again = shlex.join(["gistembed", *map(str, cut), "--resume"])
    assert (code, out, err) == (143, "", f"gistembed: terminated; go on with: {again}\n")
    assert json.loads((tmp_path / "cut" / "run.json").read_text())["status"] == "interrupted"
    assert [path.name for path in (tmp_path / "cut" / "checkpoints" / "unguided").iterdir()] == [
        "checkpoint-4"
    ]
    assert run(*cut, "--resume")[:2] == (0, verdict)
    weights = [tmp_path / name / "model" / "model.safetensors" for name in ("cut", "whole")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    records = [json.loads((tmp_path / name / "run.json").read_text()) for name in ("cut", "whole")]
    assert records[0]["trainings"][0]["history"] == records[1]["trainings"][0]["history"]


def test_sigterm_while_nothing_is_trained(run, monkeypatch, data, static_folder, tmp_path):
    def terminated(*_):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(pipeline, "rank_at", terminated)
    command = words(data, static_folder, tmp_path / "out")
    code, out, err = run(*command)
    again = shlex.join(["gistembed", *map(str, command), "--resume"])
    assert (code, out, err) == (143, "", f"gistembed: terminated; go on with: {again}\n")
    assert json.loads((tmp_path / "out" / "run.json").read_text())["status"] == "interrupted"


def test_sigterm_while_a_trained_model_is_saved_waits_for_it(run, monkeypatch, data, static_folder, tmp_path):
    """Ended at once, the training would be lost back to its last checkpoint."""
    save_model = RunFolder.save_model

    def terminated(self, model, name):
        os.kill(os.getpid(), signal.SIGTERM)
        save_model(self, model, name)

    command = [word for word in words(data, static_folder, tmp_path / "out") if word != "--quiet"]
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save_model", terminated)
        code, _, err = run(*command)
    assert code == 143
    assert "stopping when the model is saved; once more stops at once" in err.splitlines()
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (record["status"], record["trainings"][0]["steps"]) == ("interrupted", 6)
    code, _, err = run(*command, "--resume")
    assert code == 0
    assert "unguided: trained already" in err.splitlines()


def test_damaged_checkpoints_are_told_on_the_console(run, monkeypatch, data, static_folder, tmp_path):
    command = [word for word in words(data, static_folder, tmp_path / "out") if word != "--quiet"]
    with monkeypatch.context() as patch:
        at_step(patch, 4, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert run(*command)[0] == 143
    path = tmp_path / "out" / "checkpoints" / "unguided" / "checkpoint-4"
    (path / "weights.safetensors").unlink()
    code, _, err = run(*command, "--resume")
    assert code == 0
    warning = (
        f"warning: {path}: not used (weights.safetensors is missing); training starts from the beginning"
    )
    assert warning in err.splitlines()


def test_the_best_is_kept_and_recorded(data, static_folder, tmp_path, monkeypatch):
    """Scored at 0, 2, 4 and 6: the scores are made up, so that it is known which is the best."""
    scores = iter([0.5, 0.3, 0.4, 0.2])
    scored = []
    true_score = pipeline.score

    def made_up(task, ranking):
        real = true_score(task, ranking)
        # After those of the student before training: on the dev pairs, the held-out ones, and retention.
        if task.name == str(data) and len(scored) in range(3, 7):
            real["RR@10"] = real["RR@10"] * 0 + next(scores)
        scored.append(task.queries)
        return real

    monkeypatch.setattr(pipeline, "score", made_up)
    result = fit(
        data,
        static_folder,
        out=tmp_path / "out",
        loss="infonce",
        batch_size=10,
        steps=6,
        keep_best="rr@10",
        dev=0.2,
        eval_every=2,
        quiet=True,
    )
    training, split = result.record.trainings[0], result.record.split
    assert training.best.model_dump() == {
        "metric": "RR@10",
        "step": 4,
        "score": pytest.approx(0.4),
        "curve": [(0, 0.5), (2, 0.3), (4, 0.4), (6, 0.2)],
        "stopped_early": False,
    }
    assert result.record.config["keep_best"] == "RR@10"
    assert (split.held_out_pairs, split.dev_pairs) == (6, 10)
    assert split.train_pairs + split.dev_pairs + split.held_out_pairs + split.dropped_pairs == 60
    page = result.report.read_text(encoding="utf-8")
    assert (
        "unguided: of 3 models scored on the way, that of step 4 was kept, the best by RR@10 on 10 pairs "
        "held out for this choice: 0.500 before training, 0.400 at its best, 0.200 in the end."
    ) in page


def test_patience_shortens_a_run(data, static_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "rank", _same_ranking(pipeline.rank))
    settings = {"loss": "infonce", "batch_size": 10, "steps": 40, "keep_best": "nDCG@10", "quiet": True}
    result = fit(data, static_folder, out=tmp_path / "out", patience=2, eval_every=0.1, **settings)
    training = result.record.trainings[0]
    assert training.steps == 12
    assert (training.best.step, training.best.stopped_early) == (4, True)
    assert "in the end, when training stopped because no better one came." in result.report.read_text()


def _same_ranking(rank):
    """Every model ranks as the first that was asked about a task."""
    known = {}

    def same(model, task, *more):
        if id(task) not in known:
            known[id(task)] = rank(model, task, *more)
        return known[id(task)]

    return same


def test_no_text_is_on_two_sides(data, static_folder, tmp_path):
    from gistembed.config import RunConfig
    from gistembed.console import Console
    from gistembed.prepare.run import prepare_run

    config = RunConfig(
        data=data, student=str(static_folder), out=tmp_path / "out", loss="infonce", keep_best="AP@100"
    )
    run = prepare_run(config, Console(quiet=True))
    sides = [run.train, run.dev.pairs, run.tasks["held-out"].pairs]
    texts = [{side.texts[number] for number in side.text_ids()} for side in sides]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert not texts[first] & texts[second]
    assert len(run.dev.pairs) == run.split.dev_pairs == 5


def test_a_metric_that_is_not_there_is_told_before_anything_is_read(run, tmp_path):
    command = [
        "fit",
        tmp_path / "absent.csv",
        "--student",
        "absent",
        "--loss",
        "infonce",
        "--out",
        tmp_path / "out",
    ]
    assert run(*command, "--keep-best", "ndcg@5") == (
        2,
        "",
        "gistembed: --keep-best ndcg@5: no such metric; choose one of nDCG@10, RR@10, Success@1, R@10, "
        "AP@100\n",
    )


def test_too_few_pairs_to_choose_by(static_folder, tmp_path):
    rows = [{"anchor": "the same", "positive": f"answer {number}"} for number in range(5)]
    other = [{"anchor": f"another {number}", "positive": f"reply {number}"} for number in range(2)]
    for name, several in (("pairs", rows), ("eval", other)):
        lines = "".join(json.dumps(row) + "\n" for row in several)
        (tmp_path / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    with pytest.raises(UserError) as raised:
        fit(
            tmp_path / "pairs.jsonl",
            static_folder,
            out=tmp_path / "out",
            eval=tmp_path / "eval.jsonl",
            loss="infonce",
            keep_best="nDCG@10",
            quiet=True,
        )
    assert str(raised.value) == (
        "--keep-best nDCG@10: too few of the 5 training pairs can be held out to choose by without a "
        "text that the rest holds too; leave it out"
    )
    assert not (tmp_path / "out").exists()


def test_a_saved_model_that_is_another_is_told(data, static_folder, tmp_path, monkeypatch):
    """As by a module that forgets a setting when it is saved."""
    save_model = RunFolder.save_model

    def forgetful(self, model, name):
        weights = next(model.model.parameters())
        kept = weights.detach().clone()
        with torch.no_grad():
            weights *= torch.linspace(0.5, 1.5, weights.shape[1])
            save_model(self, model, name)
            weights.copy_(kept)

    monkeypatch.setattr(RunFolder, "save_model", forgetful)
    settings = {"loss": "infonce", "batch_size": 10, "steps": 2, "quiet": True}
    with pytest.raises(UserError) as raised:
        fit(data, static_folder, out=tmp_path / "out", **settings)
    folder = tmp_path / "out" / "model"
    assert str(raised.value).startswith(
        f"{folder}: what was saved is not what was trained: its embeddings differ by up to 0."
    )
    assert str(raised.value).endswith(
        "; a module of the student doesn't save all that it needs, so choose another --student"
    )
    assert json.loads((tmp_path / "out" / "run.json").read_text())["trainings"] == []
