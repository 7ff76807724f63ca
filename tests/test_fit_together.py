"""`gistembed fit` in several processes: one writes and speaks, all train, and the result is that of one."""

import json
import os
import subprocess
import sys

import pytest
from safetensors.torch import load_file

from gistembed import fit
from tests.tiny_models import save_bert

PAIRS = [
    {"anchor": f"question {'so ' * (i % 4)}{i}", "positive": f"answer {'and ' * (i % 3)}{i * i}"}
    for i in range(40)
]
CONFIG = """\
batch_size = 9
steps = 5
learning_rate = 0.02
[trainer]
optim = "sgd"
use_cpu = true
"""


@pytest.mark.parametrize("ranks", [2])
def test_processes_fit_as_one_does(tmp_path, ranks):
    """The same model and the same record of training, whatever the number of processes."""
    student = save_bert(tmp_path / "student", dropout=0.0)
    guide = save_bert(tmp_path / "guide", seed=1)
    pairs, config = tmp_path / "pairs.jsonl", tmp_path / "run.toml"
    pairs.write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS))
    config.write_text(CONFIG)
    alone = fit(
        pairs,
        student,
        guide,
        out=tmp_path / "alone",
        store=tmp_path / "store-alone",
        quiet=True,
        batch_size=9,
        steps=5,
        learning_rate=0.02,
        trainer={"optim": "sgd", "use_cpu": True},
    )
    launcher = ["torch.distributed.run", "--nproc-per-node", str(ranks)]
    launcher += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    command = [sys.executable, "-m", *launcher, "-m", "gistembed", "fit", str(pairs)]
    command += ["--student", str(student), "--guide", str(guide), "--out", str(tmp_path / "together")]
    command += ["--config", str(config), "--store", str(tmp_path / "store")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("held-out queries") == 1, "the verdict is told once"
    record = json.loads((tmp_path / "together" / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["guides"][0]["encoded"] == alone.record.guides[0].encoded
    for point, expected in zip(
        record["trainings"][0]["history"], alone.record.trainings[0].history, strict=True
    ):
        assert point["loss"] == pytest.approx(expected.loss, rel=1e-5)
    weights = load_file(tmp_path / "together" / "model" / "model.safetensors")
    for name, weight in load_file(alone.model / "model.safetensors").items():
        assert float((weights[name] - weight).abs().max()) < 1e-5, name
    assert (tmp_path / "together" / "report.html").is_file()
    assert not (tmp_path / "together" / "checkpoints").exists()
