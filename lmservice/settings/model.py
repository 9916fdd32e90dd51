"""The settings of a service: the environment, validated once at the start, every problem told at once.

A service subclasses `Settings` with fields of its own; each is read from the variable `LM_` + its name. Sources,
highest first: the environment; `.env` in the current directory (in the `dev` environment only); the files in
`LM_SECRETS_DIR` (one value a file, named as the variable); defaults. Times are seconds.
"""

import contextlib
import os
import re
import socket
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ByteSize,
    Field,
    PrivateAttr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as SourceError

from lmservice.errors import SettingsError
from lmservice.settings.masking import MASK, masked

PREFIX = "LM_"
SECRETS_DIR = "LM_SECRETS_DIR"
DEFAULT_SECRETS_DIR = "/run/secrets"
CLOSING_SECONDS = 3.0
"""What closing itself may take, beside the phases that have settings, in seconds."""

SHORTEST_SECRET = 3
"""Shorter parts of secrets are not looked for in messages, in characters."""

_DAY = 86_400
MOST_WORKERS = 256
GRAPHITE_PORT = 2003
_MOST_PORT = 65_535


def _without_brackets(host: str) -> str:
    return host.removeprefix("[").removesuffix("]") if ":" in host else host


def _network(value: object) -> object:
    if not isinstance(value, str | IPv4Network | IPv6Network):
        raise ValueError(f"{value!r} is no network: write it as 10.0.0.0/8")  # noqa: TRY004 - pydantic's way
    return ip_network(value)


def _size(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"\s*\d+(\.\d+)?\s*[A-Za-z]*\s*", value):
        raise ValueError("a size is a number of bytes, or one with a unit, as 1048576 or 1MiB")
    return value


def graphite_address(url: str) -> tuple[str, int]:
    """Host and port of `graphite://host[:port]`; the port is Graphite's own, 2003, where none is given.

    Raises:
        ValueError: the URL is another.
    """
    parts = re.fullmatch(r"graphite://(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?", url)
    if parts is None:
        raise ValueError("a Graphite server is written graphite://host or graphite://host:2003, IPv6 in brackets")
    address, name, port = parts.group(1, 2, 3)
    if address and not _is_ipv6(address):
        raise ValueError("what is in brackets is no IPv6 address")
    number = int(port or GRAPHITE_PORT)
    if not 0 < number <= _MOST_PORT:
        raise ValueError("the port is not between 1 and 65535")
    return address or name, number


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _graphite_url(url: str) -> str:
    if url:
        graphite_address(url)
    return url


def _graphite_prefix(prefix: str) -> str:
    if not re.fullmatch(r"([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*)?", prefix):
        raise ValueError("a prefix is words of letters, digits, '_' and '-', with dots between them")
    return prefix


Seconds = Annotated[float, Field(ge=0, le=_DAY, allow_inf_nan=False)]
SomeSeconds = Annotated[float, Field(gt=0, le=_DAY, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=0, le=_MOST_PORT)]
Host = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_without_brackets)]
DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
Size = Annotated[ByteSize, BeforeValidator(_size)]
GraphiteUrl = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_graphite_url)]
GraphitePrefix = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_graphite_prefix)]
LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
    BeforeValidator(lambda level: level.upper() if isinstance(level, str) else level),
]


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

    startup_timeout: SomeSeconds = Field(60, description="bounds all start-up jobs together")
    drain_delay: Seconds = Field(5, description="keeps accepting at least this long after a stop began")
    drain_quiet: Seconds = Field(1, description="… and until no new connection has come for this long")
    drain_delay_max: Seconds = Field(15, description="… but no longer than this")
    drain_timeout: Seconds = Field(20, description="what requests in flight have to finish")
    idle_grace: Seconds = Field(10, description="what idle connections have of the drain")
    cleanup_timeout: Seconds = Field(5, description="what the clean-up of all start-up jobs has")
    termination_grace_period: Seconds = Field(60, description="the pod's terminationGracePeriodSeconds")

    keep_alive_timeout: SomeSeconds = Field(75, description="how long an idle connection is kept")
    liveness_stall: SomeSeconds = Field(10, description="/livez fails once the event loop has stood still this long")
    http: Literal["auto", "httptools", "h11"] = Field("auto", description="the HTTP parser; auto is httptools")
    loop: Literal["auto", "uvloop", "asyncio"] = Field("auto", description="the event loop; auto is uvloop")
    workers: int = Field(1, ge=1, le=MOST_WORKERS, description="processes that serve; 1 serves in the process itself")
    request_timeout: Seconds = Field(30, description="until a response's head is sent; 0 is none")
    max_body_size: Size = Field(ByteSize(1_048_576), description="the largest request body, in bytes")
    max_concurrency: int = Field(1000, ge=1, description="requests in flight at once")
    head_timeout: SomeSeconds = Field(10, description="until a request's head is complete")

    graphite_url: GraphiteUrl = Field("", description="graphite://host:2003; empty is off")
    graphite_interval: SomeSeconds = Field(60, description="between two pushes to Graphite")
    graphite_prefix: GraphitePrefix = Field(
        "", description="what every Graphite name begins with; instances that share one overwrite each other"
    )
    graphite_tags: bool = Field(default=True, description="tagged names, else dotted ones")

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
        """Gives the contract's sources, highest first, below what the constructor was given."""
        return (init_settings, *_sources(settings_cls).values())

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Reads all sources; `given` stands above them, as a test would have it.

        Raises:
            SettingsError: with a line for each problem found, none of which shows a secret.
        """
        return cls._of({"argument": given, **_read(cls)})

    @classmethod
    def load_from(cls, variables: Mapping[str, str], **given: Any) -> Self:
        """Reads these variables in the place of this process's environment, files and secrets.

        Raises:
            SettingsError: as `load`.
        """
        return cls._of({"argument": given, "environment": _environment_of(cls, variables)})

    @classmethod
    def _of(cls, found: dict[str, dict[str, Any]]) -> Self:
        values = {name: value for read in reversed(found.values()) for name, value in read.items()}
        fields = _fields(cls)
        origins = {fields.get(name.lower(), name): origin for origin, read in reversed(found.items()) for name in read}
        settings = cls.__new__(cls)
        try:
            BaseModel.__init__(settings, **values)  # the sources have been read: once is enough
            problems = _contradictions(settings.__dict__)
        except ValidationError as error:
            problems = _Problems(cls, origins, values).of(error)
        except Exception as error:  # noqa: BLE001 - a validator of the service's own
            problems = [f"the settings cannot be used: a validator of {cls.__name__} raised {type(error).__name__}"]
        if problems:
            raise SettingsError(problems)
        settings._origins.update(origins)  # noqa: SLF001 - its own class
        return settings


class _FriendlyDecoding:
    """Takes `a,b` for a list; leaves what is not JSON to the field's validation, which names every bad variable."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            decoded = super().decode_complex_value(field_name, field, value)  # type: ignore[misc]
        except ValueError:
            decoded = value
        if _is_sequence(field.annotation) and not isinstance(decoded, list):
            return [part.strip() for part in value.split(",") if part.strip()]
        return decoded


class _Environment(_FriendlyDecoding, EnvSettingsSource):
    pass


class _DotEnv(_FriendlyDecoding, DotEnvSettingsSource):
    pass


class _Secrets(_FriendlyDecoding, SecretsSettingsSource):
    pass


def _read(cls: type[BaseSettings]) -> dict[str, dict[str, Any]]:
    """What each source says, highest first."""
    try:
        return {origin: source() for origin, source in _sources(cls).items()}
    except (OSError, UnicodeError, SourceError) as error:
        field = re.search(r'field "(\w+)"', str(error))
        name = variable(cls, field[1]) if field else "a file"
        raise SettingsError([f"{name} in {SECRETS_DIR} cannot be read as text: mend or remove it"]) from None


def _environment_of(cls: type[BaseSettings], variables: Mapping[str, str]) -> dict[str, Any]:
    source = _Environment(cls)
    source.env_vars = {name if source.case_sensitive else name.lower(): value for name, value in variables.items()}
    return source()


def usable(cls: type[Settings], variables: Mapping[str, str]) -> Settings:
    """Lmservice's own settings as a service would read them from these variables, bad ones at their defaults."""
    fields = _fields(cls)
    read = {fields.get(name.lower(), name): value for name, value in _environment_of(cls, variables).items()}
    chosen: dict[str, Any] = {}
    for name in Settings.model_fields:
        field = cls.model_fields[name]
        chosen[name] = field.get_default(call_default_factory=True, validated_data={})
        with contextlib.suppress(ValidationError):
            adapter: TypeAdapter[Any] = TypeAdapter(Annotated[field.annotation, field])  # type: ignore[arg-type]
            chosen[name] = adapter.validate_python(read.get(name, chosen[name]))
    return Settings.model_construct(**chosen)


def _fields(cls: type[BaseSettings]) -> dict[str, str]:
    """Each field's name by the names that a source may give it, in small letters."""
    return {alias.lower(): name for name in cls.model_fields for alias in (name, *_aliases(cls, name))}


def _aliases(cls: type[BaseSettings], name: str) -> list[str]:
    alias = cls.model_fields[name].validation_alias if name in cls.model_fields else None
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return [choice for choice in choices if isinstance(choice, str)]


def _sources(cls: type[BaseSettings]) -> dict[str, PydanticBaseSettingsSource]:
    sources: dict[str, PydanticBaseSettingsSource] = {"environment": _Environment(cls)}
    secrets = _secrets_dir()
    below = {"secrets": _Secrets(cls, secrets_dir=secrets)} if secrets else {}
    if Path(".env").is_file() and _environment_is_dev(cls, below):
        sources[".env"] = _dot_env(cls)
    return {**sources, **below}


def _environment_is_dev(cls: type[BaseSettings], below: Mapping[str, PydanticBaseSettingsSource]) -> bool:
    """Whether `.env` counts: by every other source, as it cannot be what says so itself."""
    name = variable(cls, "environment")
    given = next((value for key, value in os.environ.items() if key.upper() == name), None)
    if given is None:
        values = [source()["environment"] for source in below.values() if "environment" in source()]
        given = values[0] if values else str(cls.model_fields["environment"].default)
    said = _dot_env(cls)().get("environment", given)
    if given == "dev" and said != "dev":
        raise SettingsError([f"{name}: .env says {said!r}, but .env is read in dev alone: set it in the environment"])
    return given == "dev"


def _dot_env(cls: type[BaseSettings]) -> PydanticBaseSettingsSource:
    try:
        return _DotEnv(cls)
    except (OSError, UnicodeError) as error:
        raise SettingsError([f".env cannot be read: {error}: mend or remove it"]) from None


def _secrets_dir() -> str | None:
    given = os.environ.get(SECRETS_DIR)
    if given and not Path(given).is_dir():
        raise SettingsError([f"{SECRETS_DIR}: {given!r} is not a folder: make it, or unset {SECRETS_DIR}"])
    if given:
        return given
    return DEFAULT_SECRETS_DIR if Path(DEFAULT_SECRETS_DIR).is_dir() else None


def _contradictions(values: Mapping[str, Any]) -> list[str]:
    """What cannot hold together, a line each; nothing where a value is bad by itself, which has its own line."""
    try:
        delay, delay_max, drain, cleanup, grace = (float(values[name]) for name in _BUDGET)
    except (TypeError, ValueError):
        return []
    needed, needs = _budget(delay, delay_max, drain, cleanup)
    if needed <= grace:
        return []
    limit = f"more than LM_TERMINATION_GRACE_PERIOD {grace:g} s"
    advice = "shorten one of them, or raise it together with the pod's terminationGracePeriodSeconds"
    return [f"{needs} = {needed:g} s, {limit}: {advice}"]


def drain_budget(settings: Settings) -> tuple[float, str]:
    """What a stop may take at the most, in seconds, and the sum that makes it."""
    return _budget(*(float(getattr(settings, name)) for name in _BUDGET[:-1]))


def _budget(delay: float, delay_max: float, drain: float, cleanup: float) -> tuple[float, str]:
    longest = f"LM_DRAIN_DELAY_MAX {delay_max:g}" if delay_max >= delay else f"LM_DRAIN_DELAY {delay:g}"
    needs = f"{longest} + LM_DRAIN_TIMEOUT {drain:g} + LM_CLEANUP_TIMEOUT {cleanup:g} + {CLOSING_SECONDS:g} for closing"
    return max(delay, delay_max) + drain + cleanup + CLOSING_SECONDS, needs


_BUDGET = ("drain_delay", "drain_delay_max", "drain_timeout", "cleanup_timeout", "termination_grace_period")


def variable(cls: type[BaseSettings], name: str) -> str:
    """The environment variable of a setting: the one that is set, where it has several."""
    names = variables(cls, name)
    if len(names) == 1:
        return names[0]
    present = {each.upper() for each in os.environ}
    return next((each for each in names if each in present), names[0])


def variables(cls: type[BaseSettings], name: str) -> list[str]:
    """Every environment variable that a setting is read from; mostly there is one."""
    return [alias.upper() for alias in _aliases(cls, name)] or [f"{PREFIX}{name.upper()}"]


def origin(settings: Settings, name: str) -> str:
    """Where a setting's value came from: `argument`, `environment`, `.env`, `secrets` or `default`."""
    return settings._origins.get(name, "default")  # noqa: SLF001 - as a method it would take a name from settings


def misspelt(cls: type[Settings], among: Iterable[str] | None = None) -> dict[str, str]:
    """The `LM_` variables that no setting reads, each with the nearest right name or ''.

    Args:
        cls: the settings.
        among: the names of the variables to look at; default this process's environment.
    """
    given = [name for name in (os.environ if among is None else among) if name.upper().startswith(PREFIX)]
    if not given:
        return {}
    known = {SECRETS_DIR}
    for name in cls.model_fields:
        known.update(variables(cls, name))
    unknown = sorted(name for name in given if name.upper() not in known)
    if not unknown:
        return {}
    from difflib import get_close_matches  # noqa: PLC0415 - costs every start what few need

    return {name: next(iter(get_close_matches(name.upper(), known, n=1, cutoff=0.7)), "") for name in unknown}


def type_name(annotation: Any) -> str:
    """A field's type as a person would say it: `float`, `str | None`, `auto|json|console`."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "|".join(str(arg) for arg in args)
    if origin in (Union, UnionType):
        return " | ".join(type_name(arg) for arg in args if arg is not NoneType)
    if origin is Annotated:
        return type_name(args[0])
    if _is_sequence(annotation):
        return f"list of {type_name(args[0])}" if args else "list"
    return getattr(annotation, "__name__", str(annotation))


def _is_sequence(annotation: Any) -> bool:
    origin = get_origin(annotation) or annotation
    return isinstance(origin, type) and issubclass(origin, list | tuple | set | frozenset)


class _Problems:
    """Tells what is wrong with settings, and shows nothing that is not plainly harmless."""

    def __init__(self, cls: type[Settings], origins: Mapping[str, str], values: Mapping[str, Any]) -> None:
        self._cls = cls
        self._origins = origins
        self._fields = _fields(cls)
        self._values = values
        self._secrets = self._find_secrets(values)

    def of(self, error: ValidationError) -> list[str]:
        """A line for each problem, and one for the sum of the drain where its parts are well."""
        entries: list[dict[str, Any]] = [dict(entry) for entry in error.errors(include_url=False)]
        lines = list(dict.fromkeys(self._line(entry) for entry in entries))
        if {self._name(entry) for entry in entries}.isdisjoint(_BUDGET):
            fields = self._cls.model_fields
            lines += _contradictions({name: self._values.get(name, fields[name].default) for name in _BUDGET})
        return lines

    def _name(self, entry: Mapping[str, Any]) -> str:
        first = str(entry["loc"][0]) if entry["loc"] else ""
        return self._fields.get(first.lower(), first)

    def _line(self, entry: Mapping[str, Any]) -> str:
        name = self._name(entry)
        field = self._cls.model_fields.get(name)
        if field is None:
            return self._scrubbed(str(entry["msg"]))
        label = variable(self._cls, name)
        if entry["type"] == "missing" and len(entry["loc"]) == 1:
            return f"{label}: is required ({type_name(field.annotation)}): set it in the environment{self._hint(label)}"
        where = f"(from {self._origins.get(name, 'default')}; expected {_expected(field)})"
        inner = [str(part) for part in entry["loc"][1:]]
        if any(masked(part, "x", field.annotation) != "x" for part in (name, *inner)):
            return f"{label}: is not allowed here {where}"
        path = self._scrubbed("".join(f"[{part}]" for part in inner if part.isidentifier() or part.isdigit()))
        shown = masked(name, entry["input"])
        message = self._scrubbed(_lower(entry["msg"]))
        return f"{label}{path}: {f'{shown!r}: ' if shown == entry['input'] else ''}{message} {where}"

    def _hint(self, label: str) -> str:
        near = [name for name, nearest in misspelt(self._cls).items() if nearest == label]
        return f" ({near[0]} is set, which no setting reads)" if near else ""

    def _find_secrets(self, values: Mapping[str, Any]) -> set[str]:
        """The values that are not shown, and what they are made of."""
        secrets: set[str] = set()
        for name, value in values.items():
            field = self._cls.model_fields.get(self._fields.get(name.lower(), name))
            if masked(name, value, field.annotation if field else None) != value:
                secrets |= {str(value), *re.split(r"[^\w.$!-]+", re.sub(r"^[a-z+]+://", "", str(value)))}
        return {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}

    def _scrubbed(self, message: str) -> str:
        """A message, which a validator of the service's own may have written, without any secret."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            message = message.replace(secret, MASK)
        return message


def _expected(field: FieldInfo | None) -> str:
    if field is None:
        return "another value"
    limits = [_LIMITS[type(limit).__name__](limit) for limit in field.metadata if type(limit).__name__ in _LIMITS]
    return " ".join([type_name(field.annotation), *limits])


_LIMITS: dict[str, Any] = {
    "Ge": lambda limit: f"≥ {limit.ge:g}",
    "Gt": lambda limit: f"> {limit.gt:g}",
    "Le": lambda limit: f"≤ {limit.le:g}",
    "Lt": lambda limit: f"< {limit.lt:g}",
    "StringConstraints": lambda limit: f"matching {limit.pattern}" if limit.pattern else "that is not empty",
}


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
