"""Chance that falls the same way on every machine and in every year.

Whatever is generated is drawn from here, so that all instances tell of the same hotels and the same prices without a
word between them. Python's own generator is used for nothing but `random()`, the one method whose numbers are
promised to stay (https://docs.python.org/3/library/random.html#notes-on-reproducibility).
"""

from collections.abc import Sequence
from hashlib import blake2b
from random import Random
from typing import TypeVar

T = TypeVar("T")

_WHOLE = float(1 << 32)


def share(*of: object) -> float:
    """A number from 0 up to 1, always the same for the same things."""
    digest = blake2b(" ".join(map(str, of)).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") / _WHOLE


class Chance:
    """A sequence of draws, always the same for the same `seed`."""

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)

    def between(self, least: float, most: float) -> float:
        """A number from `least` up to `most`."""
        return least + (most - least) * self._random.random()

    def pick(self, things: Sequence[T]) -> T:
        """One of `things`, each as likely as the others."""
        return things[int(self._random.random() * len(things))]

    def shuffled(self, things: Sequence[T]) -> list[T]:
        """All of `things`, in any order."""
        order = sorted((self._random.random(), at) for at in range(len(things)))
        return [things[at] for _, at in order]
