"""A store on a disk of its own that fills up and can be made read-only; a script for the tests.

    unshare --mount python -m tests.guide.small_disk FOLDER

In a mount namespace of its own, so that the disk is gone when the script ends, however it ends.
"""

import subprocess
import sys
from pathlib import Path

from tests.guide.store_samples import IDENTITY, check, filled, held, keys_of, vectors_of

from gistembed.errors import StorageError, UserError
from gistembed.guide import GuideStore

CANNOT_MOUNT = 77


def main(place: Path) -> int:
    """Fill the disk, make room, write on; then let it be read only."""
    command = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(place)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        return CANNOT_MOUNT
    store = filled(place / "store", *range(1000))
    ballast = place / "ballast"
    assert "No space left" in message_of(OSError, lambda: ballast.write_bytes(b"x" * (1 << 20)))
    more = range(1000, 2000)
    assert message_of(StorageError, lambda: store.append(keys_of(*more), vectors_of(*more))) == (
        f"{store.folder}: the guide's vectors can't be stored (No space left on device); "
        "free space or choose another folder with --store"
    )
    assert list(store.folder.glob(".*")) == []
    check(GuideStore(place / "store", IDENTITY), *range(1000))
    ballast.unlink()
    store.append(keys_of(*more), vectors_of(*more))
    check(GuideStore(place / "store", IDENTITY), *range(2000))

    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    store = GuideStore(place / "store", IDENTITY)
    check(store, *range(2000))
    assert held(store, 3000) == [False]
    refused = message_of(StorageError, lambda: store.append(keys_of(2001), vectors_of(2001)))
    assert "(Read-only file system); choose another folder with --store" in refused
    assert "can't be written; choose another folder" in message_of(UserError, store.check_writable)
    return 0


def message_of(kind, action):
    """The message that an action fails with."""
    try:
        action()
    except kind as error:
        return str(error)
    raise AssertionError("it did not fail")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
