"""What proxies say of a request: its client, scheme, host and port, and the prefix of its path that they took away.

Believed of the proxies in `LM_FORWARDED_ALLOW` alone, and of them only the headers that they set themselves
(`LM_FORWARDED_HEADERS`), as they pass a client's own words through in the others. Each proxy on the way adds at the
right end, so a list is read from there: the client is the first that is no proxy of ours, the leftmost where all are.
What else was said at that end of the list belongs to it. RFC 7239's `Forwarded` says all of it in one list.
"""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, TypeAlias

from starlette.types import Scope

from lmservice.settings.forwarding import EVERYWHERE, RFC_7239, UVICORNS_VARIABLE, networks_of
from lmservice.settings.model import Settings, origin

Address: TypeAlias = IPv4Address | IPv6Address
Element: TypeAlias = dict[str, str]
"""What one proxy says in `Forwarded`, by the names of RFC 7239 §5 in small letters."""

REMEMBERED: Final = 1024
"""So many addresses are remembered as a proxy's or not."""

_X: Final = {name: f"x-forwarded-{name}".encode() for name in ("for", "proto", "host", "port", "prefix")}
_RFC_7239: Final = RFC_7239.encode()
_NAMES: Final = frozenset((*_X.values(), _RFC_7239))
_DEFAULT_PORTS: Final = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_LARGEST_PORT: Final = 65_535
_AUTHORITY: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_NODE: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::[A-Za-z0-9._-]+)?|([0-9A-Fa-f:.]+)")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_NODE_PORT: Final = re.compile(r":([0-9]{1,5})$")
_PREFIX: Final = re.compile(r"(/[A-Za-z0-9._~!$&'()*+;=:@%-]+)*/?")
_PAIR: Final = re.compile(r"""[ \t]*(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^\s",;]*))?[ \t]*([;,]|$)""")

_log = logging.getLogger("lmservice.forwarded")


class Forwarding:
    """Puts what is believed into a request's scope.

    Args:
        settings: which proxies are believed, and which of their headers; the root path.
    """

    def __init__(self, settings: Settings) -> None:
        self._networks = settings.forwarded_allow
        self._headers = frozenset(settings.forwarded_headers)
        self._root_path = settings.root_path
        self._remembered: dict[str, bool] = {}
        self._tells = settings.environment == "dev"

    def apply(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        """Change the scope of a request or handshake by what its headers say, where they are believed.

        Args:
            scope: as the connection made it.
            headers: its headers by name.
        """
        prefix = self._root_path
        if not _NAMES.isdisjoint(headers):
            if self._tells:
                self._tell_what_is_in_vain(scope, headers)
            client = scope.get("client")
            if client and self._is_proxy(client[0]):
                prefix = self._believe(scope) or prefix
        if prefix:
            scope["root_path"] = scope["app_root_path"] = prefix
            scope["path"] = prefix + scope["path"]
            scope["raw_path"] = prefix.encode() + (scope.get("raw_path") or b"")

    def _is_proxy(self, host: str) -> bool:
        remembered = self._remembered.get(host)
        if remembered is None:
            address = _address(host)
            remembered = address is not None and any(address in network for network in self._networks)
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            self._remembered[host] = remembered
        return remembered

    def _believe(self, scope: Scope) -> str:
        """Take over what the proxies say; return the prefix that they took away."""
        if RFC_7239 in self._headers:
            elements = elements_of(_joined(scope, _RFC_7239))
            depth = self._take_client(scope, [element.get("for", "") for element in elements])
            nearest = elements[-depth] if elements else {}
            _take_scheme(scope, nearest.get("proto", ""))
            _take_authority(scope, nearest.get("host", ""), "")
            return ""
        depth = 1
        if "for" in self._headers:
            depth = self._take_client(scope, _list(_joined(scope, _X["for"])))

        def say(name: str) -> str:
            if name not in self._headers:
                return ""
            values = _list(_joined(scope, _X[name]))
            return values[-min(depth, len(values))] if values else ""

        _take_scheme(scope, say("proto"))
        _take_authority(scope, say("host"), say("port"))
        prefix = say("prefix")
        return prefix.rstrip("/") if _PREFIX.fullmatch(prefix) else ""

    def _take_client(self, scope: Scope, nodes: Sequence[str]) -> int:
        """Take over the client's address; return how far from the right end the proxies' own words reach, from 1."""
        depth = 0
        for node in reversed(nodes):
            client = _client(node)
            if client is None:  # hidden, or nonsense: nothing to the left of it can be believed
                break
            scope["client"] = client
            depth += 1
            if not self._is_proxy(client[0]):
                break
        return max(depth, 1)

    def _tell_what_is_in_vain(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        """Say once, to a developer, why a header of these has no effect."""
        peer = scope["client"][0] if scope.get("client") else ""
        sent = [name.decode() for name in sorted(_NAMES & headers.keys())]
        if not self._is_proxy(peer):
            hint = "they are believed of the networks in LM_FORWARDED_ALLOW alone; add the proxy's, where it is one"
        else:
            sent = [name for name in sent if name.removeprefix("x-forwarded-") not in self._headers]
            hint = "LM_FORWARDED_HEADERS names those that the proxies set themselves, and not these"
        if sent:
            self._tells = False
            _log.warning("lmservice.forwarded_in_vain", extra={"peer": peer, "headers": sent, "hint": hint})


def announce(settings: Settings) -> None:
    """Log at the start whose forwarding headers are believed, where that is not plain from lmservice's settings."""
    networks = [str(network) for network in settings.forwarded_allow]
    if origin(settings, "forwarded_allow") == UVICORNS_VARIABLE:
        hint = f"{UVICORNS_VARIABLE} is read, as LM_FORWARDED_ALLOW is not set: set that instead"
        _log.info("lmservice.proxies_by_uvicorn", extra={"networks": networks, "hint": hint})
        others = networks_of(os.environ.get(UVICORNS_VARIABLE, ""))[1]
        if others:
            hint = f"{UVICORNS_VARIABLE}: these are no addresses and no networks, and nobody is believed by them"
            _log.warning("lmservice.proxies_unknown", extra={"entries": others, "hint": hint})
    if not set(EVERYWHERE).isdisjoint(networks):
        hint = "forwarding headers are believed of everybody, so a client can write its own address"
        _log.warning("lmservice.proxies_everywhere", extra={"networks": networks, "hint": hint})


def elements_of(header: str) -> list[Element]:
    """Return the elements of a `Forwarded` header (RFC 7239 §4); none where it is not well-formed."""
    elements: list[Element] = []
    element: Element = {}
    position = 0
    while position <= len(header):
        pair = _PAIR.match(header, position)
        if pair is None:
            return []
        name, value, end = pair.groups()
        if name:
            element[name.lower()] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        if end != ";":
            if element:
                elements.append(element)
            element = {}
        if not end:
            break
        position = pair.end()
    return elements


def _joined(scope: Scope, header: bytes) -> str:
    """Return a header whose lines count as one list."""
    return ",".join(value.decode("latin-1") for name, value in scope["headers"] if name == header)


def _list(value: str) -> list[str]:
    return [entry for entry in (part.strip(" \t") for part in value.split(",")) if entry]


def _client(node: str) -> tuple[str, int] | None:
    """Return address and port of `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`; 0 is no port."""
    parts = _NODE.fullmatch(node)
    address = _address(parts[1] or parts[2] or parts[3]) if parts else None
    if parts is None or address is None:
        return None
    port = _NODE_PORT.search(node) if parts[3] is None else None
    return str(address), int(port[1]) if port and int(port[1]) <= _LARGEST_PORT else 0


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _take_scheme(scope: Scope, proto: str) -> None:
    secure = {"https": True, "wss": True, "http": False, "ws": False}.get(proto.lower())
    if secure is not None:
        plain = "ws" if scope["type"] == "websocket" else "http"
        scope["scheme"] = f"{plain}s" if secure else plain


def _take_authority(scope: Scope, host: str, port: str) -> None:
    """Take over the host, or of the one asked for only the port; what is none is left."""
    number = int(port) if _PORT.fullmatch(port) else 0
    if not (host or number):
        return
    parts = _AUTHORITY.fullmatch(host or _joined(scope, b"host"))
    if parts is None:
        return
    default = _DEFAULT_PORTS[scope["scheme"]]
    number = number or int(parts[2] or default)
    if number > _LARGEST_PORT:
        return
    authority = parts[1] if number == default else f"{parts[1]}:{number}"
    scope["headers"] = [(b"host", authority.encode()), *(pair for pair in scope["headers"] if pair[0] != b"host")]
    scope["server"] = parts[1].strip("[]"), number
