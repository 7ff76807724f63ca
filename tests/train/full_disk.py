"""A training on a disk of its own that fills up; a script for the tests.

    unshare --mount python -m tests.train.full_disk FOLDER

In a mount namespace of its own, so that the disk is gone when the script ends, however it ends.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from tests.tiny_models import save_static
from tests.train.trials import Setting, train

from gistembed.files import storage_error
from gistembed.train.checkpoints import damage_of

CANNOT_MOUNT = 77


def main(place: Path) -> int:
    """Room for one checkpoint and a half; then for all."""
    model, disk, setting = save_static(place / "model"), place / "disk", Setting(steps=8, save_every=3)
    whole, _ = train(model, place / "whole", setting)
    size = sum(file.stat().st_size for file in (place / "whole" / "checkpoint-6").iterdir())
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size * 3 // 2}", "tmpfs", str(disk)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        return CANNOT_MOUNT
    assert _refused(lambda: train(model, disk / "run", setting)) == (
        f"{disk / 'run'}: No space left on device; free space, then run the command again "
        "(`fit` with --resume)"
    )
    assert [path.name for path in (disk / "run").glob("check*")] == ["checkpoint-3"]
    assert damage_of(disk / "run" / "checkpoint-3") is None
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
    resumed, outcome = train(model, disk / "run", setting, resume=True)
    assert (outcome.finished, outcome.history[0].step, outcome.steps) == (True, 3, 8)
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)
    return 0


def _refused(action: Callable[[], object]) -> str:
    """What the user is told of a disk that refuses."""
    try:
        action()
    except OSError as error:
        return str(storage_error(error))
    raise AssertionError("it did not fail")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
