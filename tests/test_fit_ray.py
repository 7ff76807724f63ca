"""`fit` as the function of Ray Train's workers: two of them, on a cluster of this machine."""

import json

import pytest

from tests.tiny_models import save_bert, save_static

ray = pytest.importorskip("ray")
pytest.importorskip("ray.train.torch")

PAIRS = [{"anchor": f"question {i}", "positive": f"answer {i * i}"} for i in range(40)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray", "ignore::FutureWarning:ray")
def test_ray_train_runs_fit_in_each_worker(tmp_path, monkeypatch):
    """One model, one record, and both workers had a part in it."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    monkeypatch.setenv("RAY_TRAIN_V2_ENABLED", "1")
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS))
    save_static(tmp_path / "student")
    save_bert(tmp_path / "guide")

    def train(config):
        from pathlib import Path

        from gistembed import fit, ranks

        folder = Path(config["folder"])
        fit(
            folder / "pairs.jsonl",
            folder / "student",
            folder / "guide",
            out=folder / "out",
            store=folder / "store",
            quiet=True,
            batch_size=9,
            steps=4,
            trainer={"use_cpu": True},
        )
        (folder / f"rank-{ranks.rank()}").write_text(str(ranks.ranks()))

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        TorchTrainer(
            train,
            train_loop_config={"folder": str(tmp_path)},
            scaling_config=ScalingConfig(num_workers=2, use_gpu=False),
            run_config=RunConfig(storage_path=str(tmp_path / "ray"), name="run"),
        ).fit()
    finally:
        ray.shutdown()
    assert [(tmp_path / f"rank-{rank}").read_text() for rank in (0, 1)] == ["2", "2"]
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["trainings"][0]["steps"] == 4
    assert (tmp_path / "out" / "model" / "model.safetensors").is_file()
