"""The descriptors that a worker gets from its supervisor."""

from typing import NamedTuple

NO_LISTENER = 0
"""In the place of the listener's descriptor: the service takes no requests."""


class InheritedDescriptors(NamedTuple):
    """What a worker gets from its supervisor, the last three as descriptors.

    Attributes:
        worker: its number, from 1.
        listener: the service listener's socket, which it accepts from, or `NO_LISTENER`.
        channel: its end of the socket pair.
        counts: the file that has the workers' numbers of connections, and is locked while lines are written.
    """

    worker: int
    listener: int
    channel: int
    counts: int

    @property
    def open(self) -> tuple[int, ...]:
        """Return those that are open."""
        return tuple(descriptor for descriptor in self[1:] if descriptor != NO_LISTENER)

    @property
    def words(self) -> list[str]:
        """Return the same as words of a command."""
        return [str(number) for number in self]
