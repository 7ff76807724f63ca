"""What this process holds in memory, and held at most; Linux only."""

import resource
from pathlib import Path

_KIB = 1024


def resident() -> int:
    """Bytes held now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def reset_peak() -> None:
    """Let `peak` count from now on."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak() -> int:
    """Most bytes held since the start or the last reset.

    Not what getrusage tells: that of a new process begins with its parent's.

    Raises:
        RuntimeError: If the kernel does not tell.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * _KIB
    raise RuntimeError("the kernel does not tell a process's peak memory")
