"""The settings of a service: the environment, validated once at the start, every problem told at once.

A service subclasses `Settings` with fields of its own; each is read from the variable `LM_` + its name. Sources,
highest first: the environment; `.env` in the current directory (in the `dev` environment only); the files in
`LM_SECRETS_DIR` (one value a file, named as the variable); defaults. Times are seconds.
"""

import contextlib
import os
import socket
from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ByteSize,
    Field,
    PrivateAttr,
    PydanticUndefinedAnnotation,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from lmservice.errors import SettingsError
from lmservice.settings.fields import (
    DnsLabel,
    ForwardedHeaders,
    GraphitePrefix,
    GraphiteUrl,
    Host,
    LogLevel,
    Network,
    Port,
    PositiveSeconds,
    RootPath,
    Seconds,
    Size,
)
from lmservice.settings.forwarding import UVICORNS_VARIABLE, read_uvicorns
from lmservice.settings.nesting import delimiter_of
from lmservice.settings.problems import Problems
from lmservice.settings.sources import merged, read, read_variables, sources
from lmservice.settings.stop_budget import contradictions
from lmservice.settings.variables import PREFIX, field_names, origins

_MOST_WORKERS = 256


class Settings(BaseSettings):
    """What every service can be told. Frozen; times in seconds, sizes in bytes (`1MiB` is understood)."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        env_file=".env",
        env_file_encoding="utf-8",
        validate_default=False,
        defer_build=True,  # built once, for the class that a service really uses
    )

    environment: DnsLabel = Field("dev", description="which environment this is: dev, qa, preview, production, …")
    service_name: str = Field("", description="the service's name in logs and metrics (default: its name in code)")
    version: str = Field("", description="the version that runs (default: as the code says)")
    revision: str = Field("", description="the source revision that runs")
    instance: str = Field(default_factory=socket.gethostname, description="this instance (default: the host name)")

    host: Host = Field("0.0.0.0", description="the service listener's address")
    port: Port = Field(8081, description="the service listener's port; 0 picks a free one")
    management_host: Host = Field("::", description="the management listener's address")
    management_port: Port = Field(8002, description="the management listener's port; 0 picks a free one")
    management_allow: tuple[Network, ...] = Field(
        (ip_network("127.0.0.0/8"), ip_network("::1/128")),
        description="the networks whose peers may stop, change and look inside",
    )
    management_hosts: tuple[str, ...] = Field(
        (), description="host names, beside addresses and localhost, that the management listener answers to"
    )

    log_level: LogLevel = Field("INFO", description="the root level")
    log_format: Literal["auto", "json", "console"] = Field("auto", description="auto: console on a terminal, else json")
    access_log: bool = Field(default=True, description="one line for each request")
    log_client: bool = Field(default=True, description="whether that line has the client's address")

    startup_timeout: PositiveSeconds = Field(60, description="bounds all start-up jobs together")
    drain_delay: Seconds = Field(5, description="keeps accepting at least this long after a stop began")
    drain_quiet: Seconds = Field(1, description="… and until no new connection has come for this long")
    drain_delay_max: Seconds = Field(15, description="… but no longer than this")
    drain_timeout: Seconds = Field(20, description="what requests in flight have to finish")
    idle_grace: Seconds = Field(10, description="what idle connections have of the drain")
    cleanup_timeout: Seconds = Field(5, description="what the clean-up of all start-up jobs has")
    termination_grace_period: Seconds = Field(60, description="the pod's terminationGracePeriodSeconds")

    keep_alive_timeout: PositiveSeconds = Field(
        100, description="how long an idle connection is kept: longer than its clients keep it"
    )
    max_connection_age: Seconds = Field(
        0, description="after about how long a connection's next response is its last; 0 is never"
    )
    liveness_stall: PositiveSeconds = Field(
        10, description="/livez fails once the event loop has stood still this long"
    )
    http: Literal["auto", "httptools", "h11"] = Field("auto", description="all mean lmservice's own, on httptools")
    loop: Literal["auto", "uvloop", "asyncio"] = Field("auto", description="the event loop; auto is uvloop")
    workers: int = Field(1, ge=1, le=_MOST_WORKERS, description="processes that serve; 1 serves in the process itself")
    request_timeout: Seconds = Field(30, description="until a response's head is sent; 0 is none")
    max_body_size: Size = Field(ByteSize(1_048_576), description="the largest request body, in bytes")
    max_concurrency: int = Field(1000, ge=1, description="requests in flight at once")
    concurrency: Literal["adaptive", "fixed"] = Field(
        "fixed",
        description="adaptive: refuses what cannot be served in time, as it is measured; fixed: the number alone",
    )
    shed_first: tuple[str, ...] = Field((), description="routes that are refused before others in an overload")
    shed_last: tuple[str, ...] = Field((), description="routes that are refused after others in an overload")
    max_head_size: Size = Field(ByteSize(65_536), ge=1024, description="the largest head of a request, in bytes")
    max_headers: int = Field(100, ge=1, description="fields in a request's head")
    head_timeout: PositiveSeconds = Field(10, description="until a request's head is complete")
    write_timeout: Seconds = Field(60, description="how long a client may take none of its response; 0 is no limit")

    forwarded_allow: tuple[Network, ...] = Field(
        (ip_network("127.0.0.0/8"), ip_network("::1/128")),
        description="the networks of the proxies whose forwarding headers are believed",
    )
    forwarded_headers: ForwardedHeaders = Field(
        ("for", "proto"),
        description="which of X-Forwarded-* they set themselves: for, proto, host, port, prefix;"
        " or forwarded, RFC 7239's, alone",
    )
    root_path: RootPath = Field("", description="the prefix of every path that a proxy takes away: /shop")

    graphite_url: GraphiteUrl = Field("", description="graphite://host:2003; empty is off")
    graphite_interval: PositiveSeconds = Field(60, description="between two pushes to Graphite")
    graphite_prefix: GraphitePrefix = Field(
        "",
        description="what every Graphite name begins with; with dotted names, empty is the service, its environment"
        " and its instance, and instances that share another overwrite each other",
    )
    graphite_tags: bool = Field(default=True, description="tagged names, else dotted ones")

    allow_default_secrets: bool = Field(
        default=False, description="outside dev secrets may be at the default that the code gives them"
    )

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - replaced by ones that say which value is bad
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the contract's sources, highest first, below what the constructor was given."""
        return (init_settings, *sources(settings_cls).values())

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Read all sources; `given` stands above them, as a test would have it.

        Raises:
            SettingsError: with a line for each problem found, none of which shows a secret.
        """
        return cls._validated(
            {"argument": given, **read(cls), UVICORNS_VARIABLE: read_uvicorns(os.environ)}, os.environ
        )

    @classmethod
    def load_from(cls, variables: Mapping[str, str], **given: Any) -> Self:
        """Read these variables in the place of this process's environment, files and secrets.

        Raises:
            SettingsError: as `load`.
        """
        environment, proxies = read_variables(cls, variables), read_uvicorns(variables)
        return cls._validated({"argument": given, "environment": environment, UVICORNS_VARIABLE: proxies}, variables)

    @classmethod
    def _validated(cls, by_source: dict[str, dict[str, Any]], names: Iterable[str]) -> Self:
        values: dict[str, Any] = {}
        for source in reversed(by_source.values()):
            values = merged(values, source) if delimiter_of(cls) else {**values, **source}
        origin_of = origins(cls, by_source)
        settings = cls.__new__(cls)
        try:
            BaseModel.__init__(settings, **values)  # the sources have been read: once is enough
            problems = contradictions(settings.__dict__)
        except ValidationError as error:
            problems = Problems(cls, origin_of, values, names).of(error)
        except PydanticUserError as error:  # a type that exists for type checkers alone, or that comes later
            problems = [f"the settings cannot be used: {_unfinished(cls, error)}"]
        except Exception as error:  # noqa: BLE001 - a validator of the service's own
            problems = [f"the settings cannot be used: a validator of {cls.__name__} raised {type(error).__name__}"]
        if problems:
            raise SettingsError(problems)
        settings._origins.update(origin_of)  # noqa: SLF001 - its own class
        return settings


def _unfinished(cls: type[Settings], error: PydanticUserError) -> str:
    """Return why a class could not be completed: the type that is missing, where that is it."""
    try:
        cls.model_rebuild(force=True)
    except PydanticUndefinedAnnotation as undefined:
        advice = "import it outside of TYPE_CHECKING"
        return f"{cls.__name__} has the type {undefined.name!r}, which is not there as it runs: {advice}"
    return str(error.message).partition("\n")[0]


def load_leniently(cls: type[Settings], variables: Mapping[str, str]) -> Settings:
    """Read lmservice's own settings as a service would from these variables, bad ones at their defaults."""
    fields = field_names(cls)
    values = {fields.get(name.lower(), name): value for name, value in read_variables(cls, variables).items()}
    values = {**read_uvicorns(variables), **values}
    chosen: dict[str, Any] = {}
    for name in Settings.model_fields:
        field = cls.model_fields[name]
        chosen[name] = field.get_default(call_default_factory=True, validated_data={})
        with contextlib.suppress(ValidationError):
            adapter: TypeAdapter[Any] = TypeAdapter(Annotated[field.annotation, field])  # type: ignore[arg-type]
            chosen[name] = adapter.validate_python(values.get(name, chosen[name]))
    return Settings.model_construct(**chosen)


def origin(settings: Settings, name: str) -> str:
    """Return where a setting's value came from: `argument`, `environment`, `.env`, `secrets` or `default`.

    uvicorn's `FORWARDED_ALLOW_IPS` is a source of its own, under its name.
    """
    return settings._origins.get(name, "default")  # noqa: SLF001 - as a method it would take a name from settings
