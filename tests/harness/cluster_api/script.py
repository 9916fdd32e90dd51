"""What a test scripts: how an image's pods behave, and what goes wrong with a call."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Behaviour:
    """How the pods of an image behave; times are in seconds.

    Attributes:
        ready_after: from the pod's first moment until it is ready; None for never.
        crashes: whether its container ends again and again.
        unpullable: whether no node can pull it.
        digest: what nodes find behind its name; one of its own for each image where it is empty.
        requests: answers a second of a pod that is ready.
        error_ratio: the share of 5xx among them.
        latency: how long each takes.
        streams: answers a second, at a route of their own, that outlast every bucket.
        ending: how long the pod takes to end.
        restarts: how often its container has ended before it went on.
    """

    ready_after: float | None = 0.02
    crashes: bool = False
    unpullable: bool = False
    digest: str = ""
    requests: float = 2000.0
    error_ratio: float = 0.0
    latency: float = 0.004
    streams: float = 0.0
    ending: float = 0.03
    restarts: int = 0


@dataclass(frozen=True)
class Call:
    """One call as the server got it."""

    method: str
    path: str
    query: str
    content_type: str
    body: object = None

    @property
    def writes(self) -> bool:
        """Return whether it changes something, unless it is only tried."""
        return self.method != "GET" and "dryRun" not in self.query

    def __str__(self) -> str:
        return f"{self.method} {self.path}{'?' + self.query if self.query else ''}"


@dataclass
class Fault:
    """What happens to the next calls that match.

    Attributes:
        pattern: a regular expression of `METHOD PATH?QUERY`.
        times: how often; None for always.
        skip: how many that match are let through before.
        status: answered instead of doing it; 0 to do it.
        message: said with the status.
        loses: the answer: `after` it was done, or `before`, when nothing is done.
        delay: seconds to wait first.
        first: called before it is done.
    """

    pattern: str
    times: int | None = 1
    skip: int = 0
    status: int = 0
    message: str = "by script"
    loses: str = ""
    delay: float = 0.0
    first: Callable[[], None] | None = None

    def meets(self, call: Call) -> bool:
        """Return whether it is this call's turn to go wrong, and count it."""
        if not re.search(self.pattern, str(call)) or self.times == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


@dataclass
class Script:
    """All of it.

    Attributes:
        images: behaviours by image.
        default: of every other image.
        faults: the first one that meets a call counts.
        controller_lag: how late the controllers see a Deployment's change, in seconds.
        capacity: how many pods fit onto the nodes; None for all.
        refuses_weights: what gateways say against a route that has more than one backend; empty where they take it.
    """

    images: dict[str, Behaviour] = field(default_factory=dict)
    default: Behaviour = field(default_factory=Behaviour)
    faults: list[Fault] = field(default_factory=list)
    controller_lag: float = 0.0
    capacity: int | None = None
    refuses_weights: str = ""

    def behaviour(self, image: str) -> Behaviour:
        """Return how the pods of an image behave."""
        return self.images.get(image, self.default)

    def fault(self, call: Call) -> Fault | None:
        """Return what goes wrong with a call."""
        return next((fault for fault in self.faults if fault.meets(call)), None)
