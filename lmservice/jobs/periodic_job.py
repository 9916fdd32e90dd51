"""A periodic job as it was registered: how often it runs, and on which instances."""

from collections.abc import Callable
from typing import Any, NamedTuple

from lmservice.errors import ServiceDefinitionError
from lmservice.jobs.arguments import must_be_positive
from lmservice.jobs.callables import Registered
from lmservice.jobs.turns import Lock, TurnTaker
from lmservice.settings.declared import value_of


class PeriodicJob(NamedTuple):
    """A periodic job as it was registered.

    Attributes:
        every: from the begin of one run to the begin of the next, in seconds, or a function of the settings.
        once: where the turns are counted of which one instance runs each; None where every instance runs all.
        scope: whose job it is among all that count there: the service.
    """

    registered: Registered
    every: float | Callable[[Any], float]
    once: Lock | None = None
    scope: str = ""

    @property
    def name(self) -> str:
        """Return its name in the probes and in `lmservice_periodic_job_runs_total{job}`."""
        return self.registered.name

    def seconds(self, settings: object) -> float:
        """Return `every`, as it is for these settings.

        Raises:
            ServiceDefinitionError: the function of the settings raised, or gives no number of seconds above 0.
        """
        label = f"periodic job {self.name!r}"
        every: float | None = value_of(self.every, settings, f"every= of {label}")
        if every is None:
            raise ServiceDefinitionError(
                f"every= of {label} is None for these settings: it must be a number of seconds"
            )
        must_be_positive(label, every=every)
        return every

    def turn_taker(self, settings: object) -> TurnTaker | None:
        """Return what waits for its turns; None where every instance runs them all.

        Raises:
            ServiceDefinitionError: the settings do not say where they are counted.
        """
        every = self.seconds(settings)
        if self.once is None:
            return None
        return TurnTaker(f"{self.scope}:{self.name}", every, self.once.turns(settings))
