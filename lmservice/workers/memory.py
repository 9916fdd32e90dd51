"""What the kernel tells of memory: how many processes of this container it has killed for it, and the limit.

Both are read from the process's own cgroup, version 2 (`memory.events`, `memory.max`) or 1 (`memory.oom_control`,
`memory.limit_in_bytes`): https://docs.kernel.org/admin-guide/cgroup-v2.html. Without either, nothing is told.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
SCORE = Path("/proc/self/oom_score_adj")
NO_LIMIT = 1 << 60
"""Bytes past which a limit of version 1 is none."""
WORKERS_SCORE = 100
"""By how much workers raise their own score, in thousandths of the limit: the supervisor is to outlive them."""
_MOST_SCORE = 1000


class MemoryKills:
    """The count of processes that were killed for memory, since it was made.

    Args:
        root: where the cgroups are mounted.
        membership: the file that says to which of them the process belongs.
    """

    def __init__(self, root: Path = ROOT, membership: Path = MEMBERSHIP) -> None:
        self._folder = _folder(root, membership)
        self._root = root
        self._attributed = self._count()

    def take_one(self) -> bool:
        """Return whether a process has been killed for memory that nobody has asked for yet, and note that one has."""
        if self._count() <= self._attributed:
            return False
        self._attributed += 1
        return True

    @property
    def limit(self) -> int | None:
        """Return the least limit of the cgroup and those above it, in bytes; None where there is none."""
        return min(self._limits(), default=None)

    def _count(self) -> int:
        for name in ("memory.events", "memory.oom_control"):
            for line in _lines(self._folder / name):
                key, _, number = line.partition(" ")
                if key == "oom_kill" and number.isdecimal():
                    return int(number)
        return 0

    def _limits(self) -> Iterator[int]:
        folder = self._folder
        while folder.is_relative_to(self._root):
            for name in ("memory.max", "memory.limit_in_bytes"):
                yield from (int(line) for line in _lines(folder / name) if line.isdecimal() and int(line) < NO_LIMIT)
            folder = folder.parent


def raise_own_score() -> None:
    """Let the kernel kill this process before the supervisor, which all of them depend on; nobody needs a privilege."""
    with contextlib.suppress(OSError, ValueError):
        SCORE.write_text(str(min(_MOST_SCORE, int(SCORE.read_text()) + WORKERS_SCORE)))


def _folder(root: Path, membership: Path) -> Path:
    """Return the folder of the process's cgroup that counts its memory."""
    folder = root
    for line in _lines(membership):
        _, controllers, path = [*line.split(":", 2), "", "", ""][:3]
        if "memory" in controllers.split(","):
            return _mounted(root / "memory", path)
        if not controllers:
            folder = _mounted(root, path)
    return folder


def _mounted(mount: Path, path: str) -> Path:
    """Return a cgroup's folder; in a container its own cgroup is the mount itself."""
    folder = mount / path.lstrip("/")
    return folder if folder.is_dir() and ".." not in folder.parts else mount


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
