"""`Service`: what a service is made of, as its author declares it. Running it is `lmservice.server`'s."""

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, cast, overload

from lmservice.errors import ServiceDefinitionError
from lmservice.jobs.arguments import must_be_name, must_be_positive
from lmservice.jobs.callables import Registered
from lmservice.jobs.commands import Commanding
from lmservice.jobs.declaring import Preparing
from lmservice.jobs.periodic_job import PeriodicJob
from lmservice.jobs.startup_graph import check_graph, refuse_unknown_jobs
from lmservice.jobs.turns import Lock
from lmservice.messaging.declaring import Consuming
from lmservice.settings.declared import refuse_unreadable
from lmservice.settings.model import Settings
from lmservice.telemetry.metrics import Metrics

if sys.version_info >= (3, 13):
    from typing import TypeVar
else:
    from typing_extensions import TypeVar

if TYPE_CHECKING:
    import httpx
    from pydantic import AnyUrl
    from starlette.middleware import Middleware
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, ExceptionHandler, Receive, Scope, Send

    from lmservice import embedded
    from lmservice.client import Client, ClientPolicy
    from lmservice.web import description

LONGEST_NAME = 63
_DASHES = str.maketrans("._-", "000")

F = TypeVar("F", bound=Callable[..., Any])
S_co = TypeVar("S_co", bound=Settings, covariant=True, default=Settings)


class Service(Preparing, Consuming, Commanding, Generic[S_co]):
    """A service: an ASGI app, its settings, its start-up jobs, its health checks and its periodic jobs.

    Args:
        name: what it is called in logs and metrics.
        routes: starlette routes, of which an app is made, or
        app: any ASGI 3 application. With neither no request is taken, and no service port opened.
        settings: the class of its settings.
        version: the version of the code, unless `LM_VERSION` says otherwise.
        exception_handlers: with `routes`, starlette's: a status or an exception's class, and what answers it.
        middleware: starlette's, around the app and inside lmservice's own layer, the outermost first. With `routes`,
            `service.app.add_middleware` adds more until the service runs.
        openapi: with `routes`, whether `/openapi.json` and the page `/docs` describe those that `lmservice.operation`
            decorates; a text is True, and says what the service is for.

    Raises:
        ServiceDefinitionError: both `routes` and `app`, or something of the wrong kind.
    """

    def __init__(
        self,
        name: str,
        *,
        routes: "Sequence[BaseRoute] | None" = None,
        app: Callable[..., Awaitable[None]] | None = None,
        settings: type[S_co] = Settings,  # type: ignore[assignment] # the variable's default
        version: str = "",
        exception_handlers: "Mapping[Any, ExceptionHandler] | None" = None,
        middleware: "Sequence[Middleware]" = (),
        openapi: bool | str = False,
    ) -> None:
        if not (name.isascii() and name.translate(_DASHES).isalnum() and len(name) <= LONGEST_NAME):
            raise ServiceDefinitionError(f"the service's name {name!r} must be 1 to 63 letters, digits, '.', '_', '-'")
        if routes is not None and app is not None:
            raise ServiceDefinitionError(f"service {name!r} takes either routes= or app=, not both")
        for of_routes, value in (("exception_handlers", exception_handlers), ("openapi", openapi)):
            if value and routes is None:
                raise ServiceDefinitionError(f"{of_routes}= of service {name!r} goes with routes=: app= has its own")
        if Settings not in getattr(settings, "__mro__", ()):
            raise ServiceDefinitionError(f"settings= of service {name!r} must be a subclass of lmservice.Settings")
        self.takes_requests = routes is not None or app is not None
        self.description: description.Description | None = None
        self.name = name
        self.version = version
        self.settings_class: type[S_co] = settings
        if app is not None and not callable(app):
            raise ServiceDefinitionError(f"app= of service {name!r} is {app!r}, which is no ASGI application")
        if openapi:
            from lmservice.web.description import Description  # noqa: PLC0415 - costs every start what few need

            self.description = Description(name, version, openapi if isinstance(openapi, str) else "", routes or ())
            routes = [*(routes or ()), *self.description.routes]
        from lmservice.web.composition import composed  # noqa: PLC0415 - starlette is a tenth of this module's import

        self.app: ASGIApp = composed(name, routes, app, exception_handlers or {}, middleware)
        self.jobs, self.checks = [], []
        self.periodic_jobs: list[PeriodicJob] = []
        self.clients: list[Client] = []
        self.consumers, self.commands = [], []
        self.metrics = Metrics()
        self._embedded: embedded.EmbeddedService | None = None

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer as an ASGI app, as in a `TestClient`: its lifespan runs the start-up jobs and their clean-up."""
        if self._embedded is None:
            from lmservice import embedded  # noqa: PLC0415 - for tests and other servers alone

            self._embedded = embedded.EmbeddedService(self)
        await self._embedded(scope, receive, send)

    @overload  # two that differ in nothing else: a type checker asks for `every`, a person is told below
    def periodic_job(self, *, every: float | Callable[[S_co], float]) -> Callable[[F], F]: ...
    @overload
    def periodic_job(
        self, *, every: float | Callable[[S_co], float], name: str | None = None, once: Lock | None = None
    ) -> Callable[[F], F]: ...
    def periodic_job(
        self, function: object = None, *, every: object = None, name: str | None = None, once: Lock | None = None
    ) -> Any:
        """Register a periodic job: a coroutine function or a plain one, run again and again; a decorator.

        It begins once the service is ready, and first runs at a random moment within `every`, so that many instances
        do not run at once; from one begin to the next passes `every`, give or take a tenth. It never overlaps itself:
        what falls into a run that takes longer is skipped. What it raises is logged and counted, and does not end it.
        No run begins once the service drains; the one under way has `LM_DRAIN_TIMEOUT` to end, and is cut off after.

        Args:
            function: none, as `every` must be given.
            every: from the begin of one run to the begin of the next, in seconds; or a function of the settings that
                gives it, called at the start: `every=lambda settings: settings.refresh_every`.
            name: its name in the probes and metrics; default the function's name.
            once: one of `lmservice.locks`: of all instances, one runs each turn.

        Raises:
            ServiceDefinitionError: the function is of no kind that can be a job, or `every` is missing or no number.
        """
        if function is not None or every is None:
            raise ServiceDefinitionError("a periodic job needs every=: write @service.periodic_job(every=60)")

        def register(job: F) -> F:
            must_be_name(name, "periodic job")
            registered = Registered(job, name, what="periodic job")
            if not callable(every):
                must_be_positive(f"periodic job {registered.name!r}", every=every)
            if any(other.name == registered.name for other in self.periodic_jobs):
                raise ServiceDefinitionError(f"two periodic jobs are named {registered.name!r}: give one another name=")
            self.periodic_jobs.append(
                PeriodicJob(registered, cast("float | Callable[[Any], float]", every), once, self.name)
            )
            return job

        return register

    def client(
        self,
        base_url: "str | httpx.URL | Callable[[S_co], str | httpx.URL | AnyUrl]",
        *,
        name: str | None = None,
        policy: "ClientPolicy | None" = None,
        transport: "httpx.AsyncBaseTransport | None" = None,
        max_connections: int = 500,
        keep_cookies: bool = False,
    ) -> "Client":
        """Make an outbound client of the service's own, to be declared before the service runs.

        It is open from before the start-up jobs begin until their clean-up is done; its metrics are the service's.

        Args:
            base_url: what the calls' URLs are relative to; or a function of the settings that gives it, called at the
                start: `lambda settings: settings.supplier_url`.
            name: the value of the label `client`; default the host.
            policy: how long a call may take, and how often it is tried; default `ClientPolicy()`.
            transport: httpx's, for tests.
            max_connections: how many calls to one host are under way at once; others wait for their turn.
            keep_cookies: whether a cookie that an answer sets goes out with all calls that follow.

        Raises:
            ClientDefinitionError: `base_url` is no absolute http URL, or `max_connections` below 1.
            MissingExtraError: httpx is not installed: the extra `lmservice[client]` brings it.
        """
        from lmservice.client import Client, ClientPolicy  # noqa: PLC0415 - httpx comes with an extra

        client = Client(
            base_url,
            name=name,
            policy=policy or ClientPolicy(),
            transport=transport,
            registry=self.metrics.registry,
            max_connections=max_connections,
            keep_cookies=keep_cookies,
        )
        self.clients.append(client)
        return client

    def check(self, settings: Settings | None = None) -> None:
        """Make sure that the start-up jobs can be put in order, and that what is declared can be read and described.

        Args:
            settings: what functions of the settings are tried with.

        Raises:
            ServiceDefinitionError: naming what is wrong.
        """
        check_graph(self.jobs)
        refuse_unknown_jobs("consumer", self.consumers, self.jobs)
        refuse_unknown_jobs("command", self.commands, self.jobs)
        _ = self.description and self.description.document  # which is made once
        if settings is not None:
            periodic = (job.turn_taker for job in self.periodic_jobs)
            declared = (*periodic, *(client.configure for client in self.clients))
            refuse_unreadable(declared, settings)
