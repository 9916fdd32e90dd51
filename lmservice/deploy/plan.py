"""The strategy of a release as data: frozen steps, checked when they are put together.

A canary is a second Deployment whose pods share the Service with the stable version's, so that its share of the
traffic is its share of the pods, or what the weights of a route say where the overlay has one. Stages below 100 % add
canary pods and leave the stable ones alone: the old version stays whole until the last step, and rolling back is
nothing but removing the canary.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, TypeAlias

from lmservice.deploy.errors import DeployUsageError
from lmservice.deploy.settings import DeploySettings

WHOLE = 100


@dataclass(frozen=True)
class CanaryPods:
    """Start so many pods of the new version beside the stable one, and wait until they are ready."""

    pods: int

    def __str__(self) -> str:
        return f"canary of {self.pods} pod{'s' if self.pods > 1 else ''}"


@dataclass(frozen=True)
class SetWeight:
    """Give the canary so many per cent of what the service's routes send, and the pods to carry it; else nothing."""

    percent: int

    def __str__(self) -> str:
        return f"weight of {self.percent} %"

    def canary_pods(self, stable: int) -> int:
        """Return how many pods carry this share beside `stable` others."""
        return _pods(self.percent, stable)


@dataclass(frozen=True)
class Pause:
    """Wait for so many seconds."""

    seconds: float

    def __str__(self) -> str:
        return f"pause {self.seconds:g} s"


@dataclass(frozen=True)
class Analysis:
    """Compare canary and stable for so many seconds; anything but a clear pass ends the release."""

    seconds: float

    def __str__(self) -> str:
        return f"analysis for {self.seconds:g} s"


@dataclass(frozen=True)
class Promote:
    """Give the new version so many per cent of the traffic; at 100 it becomes the stable one, and the canary goes."""

    percent: int

    def __str__(self) -> str:
        return f"promote to {self.percent} %"

    def canary_pods(self, stable: int) -> int:
        """Return how many pods have this share beside `stable` others."""
        return _pods(self.percent, stable)


Step: TypeAlias = CanaryPods | SetWeight | Pause | Analysis | Promote
_KINDS: dict[str, type[Step]] = {kind.__name__: kind for kind in (CanaryPods, SetWeight, Pause, Analysis, Promote)}


@dataclass(frozen=True)
class Plan:
    """Steps in their order.

    Raises:
        DeployUsageError: no step, a number that makes no sense, stages that do not rise or do not end at 100 %, or a
            weight or a comparison before there is a canary.
    """

    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        for problem in (_numbers(self.steps), _stages(self.steps), _order(self.steps)):
            if problem:
                raise DeployUsageError(f"the plan cannot work: {problem}")

    def data(self) -> list[dict[str, Any]]:
        """Return the steps as plain data, for JSON."""
        return [{"step": type(step).__name__, **asdict(step)} for step in self.steps]

    @classmethod
    def from_data(cls, steps: Sequence[dict[str, Any]]) -> "Plan":
        """Return the plan that `data` was made of.

        Raises:
            DeployUsageError: a step that does not exist, or with other fields than it has.
        """
        return cls(tuple(_step(step) for step in steps))


def canary_plan(settings: DeploySettings, *, weighted: bool = False) -> Plan:
    """Plan a few pods first, then one stage after another, each compared before the next.

    Args:
        settings: their numbers.
        weighted: whether a route gives the first pods their share, which then is `canary_weight`.
    """
    stages: list[Step] = [CanaryPods(settings.canary_pods)]
    if weighted:
        stages.append(SetWeight(min(settings.canary_weight, *settings.stages)))
    for percent in settings.stages:
        stages += [Analysis(settings.analysis_duration), Promote(percent)]
    return Plan(tuple(stages))


def rolling_plan() -> Plan:
    """Plan Kubernetes' own rolling update, at once."""
    return Plan((Promote(WHOLE),))


def _pods(percent: int, stable: int) -> int:
    return math.ceil(stable * percent / (WHOLE - percent))


def _step(data: dict[str, Any]) -> Step:
    fields = dict(data)
    kind = _KINDS.get(str(fields.pop("step", None)))
    if kind is None:
        raise DeployUsageError(f"{data!r} is no step: 'step' must be one of {', '.join(_KINDS)}")
    try:
        return kind(**fields)
    except TypeError as error:
        raise DeployUsageError(f"{data!r} is no step: {error}") from None


def _numbers(steps: Sequence[Step]) -> str:
    for step in steps:
        match step:
            case CanaryPods(number) if not _whole(number) or number < 1:
                return f"a canary has 1 pod or more, not {number!r}"
            case SetWeight(number) if not _whole(number) or not 1 <= number < WHOLE:
                return f"a weight is 1 to 99 per cent, not {number!r}"
            case Pause(number) | Analysis(number) if not 0 < number < math.inf:
                return f"a pause and an analysis take more than 0 seconds, not {number!r}"
            case Promote(number) if not _whole(number) or not 1 <= number <= WHOLE:
                return f"a stage is 1 to 100 per cent, not {number!r}"
            case _:
                pass
    return ""


def _whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)


def _stages(steps: Sequence[Step]) -> str:
    stages = [step.percent for step in steps if isinstance(step, Promote)]
    shown = ", ".join(str(stage) for stage in stages)
    if not all(before < after for before, after in pairwise(stages)):
        return f"its stages must rise: {shown}"
    if not steps or steps[-1] != Promote(WHOLE):
        return f"it must end with Promote(100); its stages are: {shown or 'none'}"
    shares = [step.percent for step in steps if isinstance(step, Promote | SetWeight)]
    if shares != sorted(shares):
        return f"its shares of the traffic must not fall: {', '.join(str(share) for share in shares)}"
    return ""


def _order(steps: Sequence[Step]) -> str:
    first = next((step for step in steps if not isinstance(step, Pause)), None)
    canaries = sum(isinstance(step, CanaryPods) for step in steps)
    if canaries > 1 or (canaries and not isinstance(first, CanaryPods)):
        return "CanaryPods comes once, and before all else; to grow the canary, use Promote"
    needing = next((step for step in steps if isinstance(step, Analysis | SetWeight)), None)
    if needing and not canaries:
        return f"{type(needing).__name__} needs a canary: begin with CanaryPods"
    return ""
