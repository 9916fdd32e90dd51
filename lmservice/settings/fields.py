"""The kinds of values that settings have: times, ports, hosts, networks, sizes; and how a person would name them."""

import re
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, StringConstraints

from lmservice.settings.forwarding import agreeing

_DAY = 86_400
"""The longest time that a setting takes, in seconds."""

_GRAPHITE_PORT = 2003
_LARGEST_PORT = 65_535


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
    """Return host and port of `graphite://host[:port]`; the port is Graphite's own, 2003, where none is given.

    Raises:
        ValueError: the URL is another.
    """
    parts = re.fullmatch(r"graphite://(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?", url)
    if parts is None:
        raise ValueError("a Graphite server is written graphite://host or graphite://host:2003, IPv6 in brackets")
    address, name, port = parts.group(1, 2, 3)
    if address and not _is_ipv6(address):
        raise ValueError("what is in brackets is no IPv6 address")
    number = int(port or _GRAPHITE_PORT)
    if not 0 < number <= _LARGEST_PORT:
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


def _root_path(path: str) -> str:
    if path and not re.fullmatch(r"(/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*/?", path):
        raise ValueError("a root path begins with '/' and is made of what a path has: /shop")
    return path.rstrip("/")


Seconds = Annotated[float, Field(ge=0, le=_DAY, allow_inf_nan=False)]
PositiveSeconds = Annotated[float, Field(gt=0, le=_DAY, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=0, le=_LARGEST_PORT)]
Host = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_without_brackets)]
DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
Size = Annotated[ByteSize, BeforeValidator(_size)]
GraphiteUrl = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_graphite_url)]
GraphitePrefix = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_graphite_prefix)]
RootPath = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_root_path)]
ForwardedHeader = Annotated[
    Literal["for", "proto", "host", "port", "prefix", "forwarded"],
    BeforeValidator(lambda name: name.lower() if isinstance(name, str) else name),
]
ForwardedHeaders = Annotated[tuple[ForwardedHeader, ...], AfterValidator(agreeing)]
LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
    BeforeValidator(lambda level: level.upper() if isinstance(level, str) else level),
]


def type_name(annotation: Any) -> str:
    """Name a field's type as a person would say it: `float`, `str | None`, `auto|json|console`."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "|".join(str(arg) for arg in args)
    if origin in (Union, UnionType):
        return " | ".join(type_name(arg) for arg in args if arg is not NoneType)
    if origin is Annotated:
        return type_name(args[0])
    if is_sequence(annotation):
        return f"list of {type_name(args[0])}" if args else "list"
    return getattr(annotation, "__name__", str(annotation))


def is_sequence(annotation: Any) -> bool:
    """Return whether a field holds several values: a list, a tuple or a set, or None beside one of them."""
    origin, args = get_origin(annotation) or annotation, get_args(annotation)
    if origin is Annotated:
        return is_sequence(args[0])
    if origin in (Union, UnionType):
        return all(is_sequence(arg) for arg in args if arg is not NoneType)
    return isinstance(origin, type) and issubclass(origin, list | tuple | set | frozenset)
