"""File descriptors that are kept back from the service's clients, for the management listener and the service's own.

A process gets the lowest number that is free. So the number of an accepted socket says how many are in use, and costs
nothing to look at.
"""

import resource
from typing import Final

LEAST: Final = 16
"""So many descriptors are kept back at least, …"""
MOST: Final = 64
"""… so many at most, …"""
SHARE: Final = 8
"""… else one in so many."""


def limit() -> int:
    """Return how many descriptors the process may have, by `RLIMIT_NOFILE`, as it is now."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 1 << 30


def reserve_of(whole: int) -> int:
    """Return how many of them the service's clients do not get."""
    return min(max(LEAST, whole // SHARE), MOST)


def left_for_clients() -> int:
    """Return the first number of a descriptor that none of the service's clients gets."""
    whole = limit()
    return whole - reserve_of(whole)
