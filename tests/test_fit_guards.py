"""What the guards notice reaches the console, run.json and the report, also of a run that stops."""

import json

import pytest

from gistembed import UserError, fit
from gistembed.console import Console
from gistembed.train.module import BatchLoss


@pytest.fixture
def run_with(tmp_path, static_folder, monkeypatch):
    """Runs on 60 pairs without a guide; gives the warnings on the console too."""
    rows = [{"query": f"q{i} word{i}", "pos": f"p{i} word{i}"} for i in range(60)]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    warned = []
    monkeypatch.setattr(Console, "warn", lambda self, text: warned.append(text))

    def run(**settings):
        given = {"loss": "infonce", "batch_size": 9, "steps": 2, "quiet": True} | settings
        return fit(path, str(static_folder), out=tmp_path / "out", **given)

    run.warned = warned
    return run


def test_warning_is_said_once_and_kept(run_with):
    result = run_with(warmup=0.9)
    found = {finding.code: finding for finding in result.record.noticed["unguided"]}
    finding = found["stays-in-warm-up"]
    assert finding.severity == "warning"
    assert finding.measured == {"steps": 2, "warmup_steps": 2, "highest_learning_rate": 1e-3}
    assert run_with.warned.count(f"{finding.what} {finding.advice}") == 1
    assert "unguided model, before training: Training ends before the learning rate is up" in (
        result.report.read_text(encoding="utf-8")
    )


def test_what_stopped_a_run_is_kept(run_with, monkeypatch, tmp_path):
    monkeypatch.setattr(BatchLoss, "forward", lambda self, *_: next(self.parameters()).sum() * float("nan"))
    with pytest.raises(
        UserError, match=r"^training stopped at step 1: the loss is not finite in a batch with "
    ):
        run_with()
    record = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert record["status"] == "failed"
    (found,) = (one for one in record["noticed"]["unguided"] if one["severity"] == "error")
    assert found["code"] == "not-finite"
    assert len(found["examples"]) == 3
    assert found["examples"][0]["place"].startswith(str(tmp_path / "pairs.jsonl") + ":")
    assert not any("not finite" in line for line in run_with.warned), "the error says it"
