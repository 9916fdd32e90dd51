"""One network namespace for everything: a bridge for the node, one for its pods, and no way out."""

import subprocess
from collections.abc import Sequence

NAME = "lmservice-cluster"
NODE = "10.98.0.1"
PODS = "10.98.2.0/23"


def make() -> None:
    """Makes the namespace, with loopback and the node's own address."""
    remove()
    _ip("netns", "add", NAME)
    for words in (
        ("link", "set", "lo", "up"),
        ("link", "add", "node0", "type", "bridge"),
        ("addr", "add", f"{NODE}/24", "dev", "node0"),
        ("link", "set", "node0", "up"),
        # clients ask a node for its default route to learn its address; this one leads nowhere
        ("route", "add", "default", "via", "10.98.0.254", "dev", "node0"),
    ):
        _ip("-n", NAME, *words)


def remove() -> None:
    """Removes the namespace; nothing happens where there is none."""
    subprocess.run(["ip", "netns", "delete", NAME], check=False, capture_output=True)


def inside(command: Sequence[str]) -> list[str]:
    """The command, inside the namespace. `ip netns exec` would hide the cgroups."""
    return ["nsenter", f"--net=/run/netns/{NAME}", *command]


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
