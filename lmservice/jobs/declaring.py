"""The part of `Service` that declares what it needs before it is ready, and to stay so."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

from lmservice.errors import ServiceDefinitionError
from lmservice.jobs.arguments import must_be_name, must_be_positive
from lmservice.jobs.callables import Registered
from lmservice.jobs.health import Check
from lmservice.jobs.startup_graph import Job

F = TypeVar("F", bound=Callable[..., Any])


class Preparing:
    """The part of `Service` that declares start-up jobs and health checks.

    Attributes:
        jobs: the start-up jobs as they were declared, their names all different.
        checks: the health checks, likewise.
    """

    jobs: list[Job]
    checks: list[Check]

    @overload
    def startup_job(self, function: F) -> F: ...
    @overload
    def startup_job(
        self,
        *,
        name: str | None = None,
        after: Sequence[str] = (),
        timeout: float | None = None,
        attempts: int | None = 1,
    ) -> Callable[[F], F]: ...
    def startup_job(
        self,
        function: F | None = None,
        *,
        name: str | None = None,
        after: Sequence[str] = (),
        timeout: float | None = None,
        attempts: int | None = 1,
    ) -> Any:
        """Register a start-up job: a coroutine function, a plain function or an async generator; a decorator.

        Args:
            function: the job, where the decorator is used without parentheses.
            name: under which its result is found in `request.state`; default the function's name.
            after: the names of the jobs that must be done before it begins.
            timeout: bounds the job, all its attempts together, in seconds.
            attempts: how often it is tried, with exponential backoff and full jitter in between. None is until
                `timeout`, or `LM_STARTUP_TIMEOUT`, 0.1 to 5 s apart: for what another process has to start first.

        Raises:
            ServiceDefinitionError: the function is of no kind that can be a job, or a number makes no sense.
        """

        def register(job: F) -> F:
            must_be_name(name, "start-up job")
            registered = Registered(job, name, what="start-up job", generators=True)
            label = f"start-up job {registered.name!r}"
            must_be_positive(label, timeout=timeout)
            must_be_positive(label, whole=True, attempts=attempts)
            if isinstance(after, str):
                raise ServiceDefinitionError(f"after= of start-up job {registered.name!r} is a list: [{after!r}]")
            self.jobs.append(Job(registered, tuple(after), timeout, attempts))
            return job

        return register if function is None else register(function)

    @overload
    def health_check(self, function: F) -> F: ...
    @overload
    def health_check(
        self,
        *,
        name: str | None = None,
        interval: float = 5,
        timeout: float = 2,
        failures: int = 3,
        successes: int = 2,
        critical: bool = False,
    ) -> Callable[[F], F]: ...
    def health_check(
        self,
        function: F | None = None,
        *,
        name: str | None = None,
        interval: float = 5,
        timeout: float = 2,
        failures: int = 3,
        successes: int = 2,
        critical: bool = False,
    ) -> Any:
        """Register a health check: a coroutine function or a plain one, polled in the background; a decorator.

        It fails by raising, by returning False, or by taking longer than `timeout`.

        Args:
            function: the check, where the decorator is used without parentheses.
            name: its name in the probes and metrics; default the function's name.
            interval: between two polls, in seconds.
            timeout: what one poll may take, in seconds.
            failures: so many in a row turn it down.
            successes: so many in a row turn it up again.
            critical: whether the service is unready while it is down.

        Raises:
            ServiceDefinitionError: the function is of no kind that can be a check, or a number makes no sense.
        """

        def register(check: F) -> F:
            must_be_name(name, "health check")
            registered = Registered(check, name, what="health check")
            label = f"health check {registered.name!r}"
            must_be_positive(label, interval=interval, timeout=timeout)
            must_be_positive(label, whole=True, failures=failures, successes=successes)
            if any(other.name == registered.name for other in self.checks):
                raise ServiceDefinitionError(f"two health checks are named {registered.name!r}: give one another name=")
            self.checks.append(Check(registered, interval, timeout, failures, successes, critical))
            return check

        return register if function is None else register(function)
