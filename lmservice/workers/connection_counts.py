"""How many connections each worker has, in memory that all of them see, so that none takes on more than its share."""

import mmap
import os

NONE = 1 << 62
"""What stands for the connections of a worker that takes none."""
AHEAD = 2
"""So many connections more than the worker with the fewest make one that lets others go first."""
_SIZE = 8


class ConnectionCounts:
    """The numbers, one a worker.

    Args:
        descriptor: of a file without a name, which `made` gives.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._numbers = memoryview(mmap.mmap(descriptor, 0)).cast("q")

    @classmethod
    def create(cls, workers: int) -> "ConnectionCounts":
        """Return new ones, of workers that take none so far."""
        descriptor = os.memfd_create("lmservice-workers")
        os.ftruncate(descriptor, workers * _SIZE)
        counts = cls(descriptor)
        for worker in range(1, workers + 1):
            counts.leave(worker)
        return counts

    def ahead(self, worker: int, connections: int) -> bool:
        """Note how many a worker has; return whether it should let another take the next one."""
        self._numbers[worker - 1] = connections
        return connections > min(self._numbers) + AHEAD

    def leave(self, worker: int) -> None:
        """Note that a worker takes none any longer."""
        self._numbers[worker - 1] = NONE
