"""Checkpoints on disk: whole or not there, checked, and what is taken when some are damaged."""

import errno
import json
import math
import os
import pickle
import random
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.train.trials import Setting, stop_at, train

from gistembed import UserError
from gistembed.models import load_model
from gistembed.train.checkpoints import (
    MANIFEST,
    checkpoint_path,
    damage_of,
    newest_checkpoint,
    whole_checkpoint,
    write_checkpoint,
)
from gistembed.train.snapshot import (
    load_state,
    load_weights,
    random_state,
    save_state,
    save_weights,
    set_random_state,
    trained_tensors,
)

FILES = ["manifest.json", "state.json", "state.safetensors", "trainer_state.json", "weights.safetensors"]


def write(folder, step, *, keep=2, content=b"what it holds", **more):
    return write_checkpoint(
        folder, step, lambda partial: (partial / "a.bin").write_bytes(content), keep=keep, **more
    )


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_two_stay(tmp_path):
    for step in (8, 9, 10, 100):
        path = write(tmp_path, step)
        assert newest_checkpoint(tmp_path) == path
    assert names(tmp_path) == ["checkpoint-10", "checkpoint-100"]


def test_all_stay_without_a_limit(tmp_path):
    for step in (8, 9, 10):
        write(tmp_path, step, keep=None)
    assert names(tmp_path) == ["checkpoint-10", "checkpoint-8", "checkpoint-9"]


def test_what_any_of_them_calls_the_best_stays(tmp_path):
    """Were only the newest asked, a run that has to go back to 5 would have lost its best, 2."""
    for step, best in ((1, 1), (2, 2), (3, 2), (4, 2), (5, 2), (6, 6)):
        write(tmp_path, step, best_step=best)
    assert names(tmp_path) == ["checkpoint-2", "checkpoint-5", "checkpoint-6"]
    write(tmp_path, 7, best_step=6)
    assert names(tmp_path) == ["checkpoint-6", "checkpoint-7"]


def test_the_manifest_says_what_was_written(tmp_path):
    path = write(tmp_path, 3, content=b"abc", best_step=2)
    assert json.loads((path / MANIFEST).read_text()) == {
        "step": 3,
        "best_step": 2,
        # xxh3-128 of "abc", as its own documentation has it.
        "files": {"a.bin": {"bytes": 3, "xxh3_128": "06b05ab6733a618578af5f94892f3950"}},
    }


@pytest.mark.parametrize(
    ("harm", "damage"),
    [
        (lambda path: (path / MANIFEST).unlink(), "it has no manifest.json, which is written last"),
        (lambda path: (path / MANIFEST).write_text("{"), "its manifest.json can't be read"),
        (lambda path: (path / MANIFEST).write_text('{"step": 20}'), "its manifest.json can't be read"),
        (lambda path: path.rename(path.with_name("checkpoint-21")), "its manifest.json is of step 20"),
        (lambda path: (path / "a.bin").unlink(), "a.bin is missing"),
        (lambda path: (path / "a.bin").write_bytes(b"what it"), "a.bin has 7 bytes, not 13"),
        (lambda path: (path / "a.bin").write_bytes(b"what it h0lds"), "a.bin is not what was written"),
    ],
)
def test_damage_is_seen_and_told(tmp_path, harm, damage):
    older = write(tmp_path, 10)
    harm(write(tmp_path, 20))
    (damaged,) = set(tmp_path.iterdir()) - {older}
    said = []
    assert newest_checkpoint(tmp_path, said.append) == older
    assert said == [f"{damaged}: not used ({damage}); the one before is tried"]
    assert damage_of(older) is None


def test_a_file_that_cannot_be_read_is_damage(tmp_path, monkeypatch):
    path = write(tmp_path, 10)
    opened = Path.open

    def refuse(self, *arguments, **options):
        if self.name == "a.bin":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return opened(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    assert damage_of(path) == "a.bin can't be read: Input/output error"


def test_none_left_is_told_too(tmp_path):
    path = write(tmp_path, 20)
    (path / "a.bin").unlink()
    said = []
    assert newest_checkpoint(tmp_path, said.append) is None
    assert said == [f"{path}: not used (a.bin is missing); training starts from the beginning"]
    assert newest_checkpoint(tmp_path / "absent", said.append) is None
    assert len(said) == 1


def test_what_was_never_finished_is_removed(tmp_path):
    path = write(tmp_path, 10)
    for name in ("checkpoint-20.partial", "checkpoint-5.old.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.bin").touch()
    said = []
    assert newest_checkpoint(tmp_path, said.append) == path
    assert said == []
    assert names(tmp_path) == ["checkpoint-10"]


def test_a_damaged_one_gives_way_to_that_of_the_same_step(tmp_path):
    write(tmp_path, 10)
    for step in (20, 30):
        (write(tmp_path, step, keep=None) / "a.bin").unlink()
    write(tmp_path, 20, content=b"anew")
    assert names(tmp_path) == ["checkpoint-10", "checkpoint-20"], "30 is of a past that nobody goes on from"
    assert (tmp_path / "checkpoint-20" / "a.bin").read_bytes() == b"anew"
    assert damage_of(tmp_path / "checkpoint-20") is None


@pytest.mark.parametrize("refused", ["write", "fsync", "rename"])
def test_what_fails_leaves_the_others_as_they_were(tmp_path, monkeypatch, refused):
    older = write(tmp_path, 10)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if refused == "write":
        monkeypatch.setattr(Path, "write_bytes", full)
    elif refused == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="No space left on device"):
        write(tmp_path, 20)
    assert names(tmp_path) == ["checkpoint-10"]
    assert newest_checkpoint(tmp_path) == older


def test_files_reach_the_disk_before_the_folder_has_its_name(tmp_path, monkeypatch):
    """And the folder's name after: in this order a crash of the machine leaves no checkpoint half written."""
    order = []
    fsync, rename = os.fsync, Path.rename

    def noted_fsync(descriptor):
        order.append(Path(f"/proc/self/fd/{descriptor}").readlink().name.split(".")[-1][:12])
        fsync(descriptor)

    def noted_rename(self, to):
        order.append("renamed")
        return rename(self, to)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "rename", noted_rename)
    write(tmp_path, 1)
    hidden_manifest = order[1]
    assert order == ["bin", hidden_manifest, "partial", "renamed", tmp_path.name[:12]]


def test_the_best_that_is_gone_is_told(tmp_path):
    with pytest.raises(UserError) as raised:
        whole_checkpoint(tmp_path, 7)
    assert str(raised.value) == (
        f"{tmp_path}/checkpoint-7: the best model was kept here, but can't be used (it has no manifest.json, "
        "which is written last); run the command again with another --out"
    )


def test_a_state_comes_back_in_every_type_and_bit(tmp_path):
    state = {
        "numbers": [1, -2.5, 0.1 + 0.2, 5e-324, math.inf, True, None, "text"],
        "nested": {0: {"step": torch.tensor(3.0)}, "betas": (0.9, 0.999), "empty": {}},
        "tensors": [torch.arange(6).reshape(2, 3).T, torch.tensor([1.5], dtype=torch.bfloat16)],
    }
    save_state(state, tmp_path)
    loaded = load_state(tmp_path)
    tensors, expected = loaded.pop("tensors"), state.pop("tensors")
    assert repr(loaded) == repr(state)
    for one, other in zip(tensors, expected, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


def test_what_a_checkpoint_cannot_keep_is_named(tmp_path):
    with pytest.raises(TypeError, match=r"^state.optimizer.0: a set can't be kept in a checkpoint$"):
        save_state({"optimizer": [{1}]}, tmp_path)
    save_state({"optimizer": defaultdict(dict, {0: {}})}, tmp_path)
    assert load_state(tmp_path) == {"optimizer": {0: {}}}


def test_random_numbers_go_on():
    state = random_state()
    first = random.random(), np.random.standard_normal(3), torch.rand(3)  # noqa: NPY002
    set_random_state(state)
    assert random.random() == first[0]
    assert np.array_equal(np.random.standard_normal(3), first[1])  # noqa: NPY002
    assert torch.equal(torch.rand(3), first[2])


def test_weights_of_another_model_are_refused(static_folder, bert_folder, tmp_path):
    save_weights(trained_tensors(load_model(str(static_folder), option="--student").model), tmp_path)
    with pytest.raises(UserError) as raised:
        load_weights(load_model(str(bert_folder), option="--student").model, tmp_path)
    assert str(raised.value) == f"{tmp_path}: holds another model than the student; choose another --out"


def test_a_checkpoint_holds_nothing_that_runs(static_folder, tmp_path):
    """No pickle by its first bytes, zipped or not; and nothing of the arguments, where tokens could stand."""
    setting = Setting(steps=5, trainer={"run_name": "my-secret"})
    train(static_folder, tmp_path, setting, on_step=stop_at(2))
    path = newest_checkpoint(tmp_path)
    assert names(path) == FILES
    for file in path.iterdir():
        content = file.read_bytes()
        assert b"my-secret" not in content
        assert not content.startswith((b"PK", b"\x80"))
        with pytest.raises(Exception):  # noqa: B017, PT011 — whatever pickle says of what is none
            pickle.loads(content)  # noqa: S301


def test_a_damaged_checkpoint_is_told_of_when_a_run_goes_on(static_folder, tmp_path):
    setting, said = Setting(steps=6, logging=1, save_every=2), []
    train(static_folder, tmp_path, setting, on_step=stop_at(5))
    whole, _ = train(static_folder, tmp_path / "whole", setting)
    path = tmp_path / "checkpoint-5" / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    resumed, outcome = train(static_folder, tmp_path, setting, resume=True, warn=said.append)
    assert said == [
        f"{path.parent}: not used (weights.safetensors is not what was written); the one before is tried"
    ]
    assert [point.step for point in outcome.history] == [1, 2, 3, 4, 5, 6]
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_disk_that_is_full_while_saving(static_folder, tmp_path, monkeypatch):
    """Safetensors knows no error number; it is given back."""
    from safetensors import SafetensorError

    def full(*_, **__):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("gistembed.train.snapshot.save_file", full)
    with pytest.raises(OSError, match="No space left on device") as raised:
        train(static_folder, tmp_path, Setting(steps=4), on_step=stop_at(1))
    assert raised.value.errno == errno.ENOSPC
    assert names(tmp_path) == []


def test_a_second_signal_while_saving_leaves_nothing_half_written(static_folder, tmp_path, monkeypatch):
    from gistembed.train import trainer

    def interrupt(model, folder):
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(trainer, "save_weights", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(static_folder, tmp_path, Setting(steps=4), on_step=stop_at(1))
    assert names(tmp_path) == []


def test_a_disk_of_its_own_that_fills_up(tmp_path):
    """The checkpoint before stays, nothing half-written does, and with space the run goes on."""
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-m", "tests.train.full_disk", str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("no right to mount")
    assert done.returncode == 0, done.stderr


def test_checkpoint_path_counts_steps(tmp_path):
    assert checkpoint_path(tmp_path, 7).name == "checkpoint-7"
