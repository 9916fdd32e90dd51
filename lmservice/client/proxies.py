"""The proxies that the environment names: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, and NO_PROXY, which makes exceptions.

httpx reads them too, but takes a network in NO_PROXY for a name, and fails where that is one of IPv6.
"""

import ipaddress
import logging
import ssl
from typing import NamedTuple
from urllib.request import getproxies

import httpx

from lmservice.client.pool import with_own_pool
from lmservice.errors import ClientDefinitionError

_log = logging.getLogger("lmservice.client")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def environment_transport() -> httpx.AsyncBaseTransport:
    """Return what sends requests as the environment says: to their hosts, or through its proxies.

    Raises:
        ClientDefinitionError: a proxy's variable is no address of one; names the variable.
    """
    variables = getproxies()
    context = httpx.create_ssl_context()
    direct = with_own_pool(httpx.AsyncHTTPTransport(verify=context))
    proxies = {scheme: _through(scheme, variables[scheme], context) for scheme in _SCHEMES if variables.get(scheme)}
    return Routed(direct, proxies, NoProxy.read(variables.get("no", ""))) if proxies else direct


_SCHEMES = ("http", "https", "all")


def _through(scheme: str, address: str, context: ssl.SSLContext) -> httpx.AsyncHTTPTransport:
    variable = f"{scheme.upper()}_PROXY"
    try:
        proxy = httpx.Proxy(address if "://" in address else f"http://{address}")
        return with_own_pool(httpx.AsyncHTTPTransport(verify=context, proxy=proxy))
    except ImportError:
        raise ClientDefinitionError(f"{variable} is a SOCKS proxy, which needs: pip install 'httpx[socks]'") from None
    except (httpx.InvalidURL, ValueError):  # whose message has the password that the address may have
        raise ClientDefinitionError(f"{variable} is no address of a proxy, as http://proxy.example:3128 is") from None


class Routed(httpx.AsyncBaseTransport):
    """Sends each request through the proxy for its scheme, unless NO_PROXY has its host."""

    def __init__(
        self, direct: httpx.AsyncHTTPTransport, proxies: dict[str, httpx.AsyncHTTPTransport], bypasses: "NoProxy"
    ) -> None:
        self._direct, self._proxies, self._bypasses = direct, proxies, bypasses

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request its way."""
        url = request.url
        transport = self._proxies.get(url.scheme) or self._proxies.get("all")
        if transport is None or self._bypasses.has(url.scheme, url.host, url.port):
            transport = self._direct
        return await transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in (self._direct, *self._proxies.values()):
            await transport.aclose()


class Bypass(NamedTuple):
    """One entry of NO_PROXY.

    Attributes:
        scheme: '' is any.
        port: None is any.
        network: of addresses, else …
        name: … a host, and those below it; with a dot in front, those below it alone.
    """

    scheme: str
    port: int | None
    network: Network | None
    name: str

    def has(self, scheme: str, host: str, port: int | None) -> bool:
        """Return whether a host is called without a proxy."""
        if self.scheme not in ("", scheme) or self.port not in (None, port or _PORTS.get(scheme)):
            return False
        if self.network is not None:
            address = _address(host)
            return address is not None and address in self.network
        host = host.rstrip(".")
        return host.endswith(self.name if self.name.startswith(".") else f".{self.name}") or host == self.name


_PORTS = {"http": 80, "https": 443}


class NoProxy:
    """The hosts that are called without a proxy."""

    def __init__(self, entries: list[Bypass], *, everybody: bool = False) -> None:
        self._entries, self._everybody = entries, everybody

    @classmethod
    def read(cls, variable: str) -> "NoProxy":
        """Read NO_PROXY: names, addresses and networks, of IPv6 as well, each with a port or without.

        `*` is everybody. An entry that is none of these is told, and left out.
        """
        texts = [text for text in (part.strip() for part in variable.split(",")) if text]
        entries = []
        for text in texts:
            try:
                entries.append(_entry(text.lower()))
            except ValueError as error:
                values = {"variable": "NO_PROXY", "entry": text, "error": str(error)}
                _log.warning("lmservice.client_no_proxy", extra=values)
        return cls(entries, everybody="*" in texts)

    def has(self, scheme: str, host: str, port: int | None) -> bool:
        """Return whether a host is called without a proxy."""
        return self._everybody or any(entry.has(scheme, host.lower(), port) for entry in self._entries)


def _entry(text: str) -> Bypass:
    scheme, between, rest = text.rpartition("://")
    scheme = "" if scheme == "all" or not between else scheme
    network, port = _network(rest), None
    if network is None:
        host, colon, digits = rest.rpartition(":")
        if colon and digits.isascii() and digits.isdigit():
            rest, port = host, int(digits)
            network = _network(rest)
    if network is None and any(mark in rest for mark in "/[]:@ "):
        raise ValueError("it is neither a name, nor an address, nor a network")
    return Bypass(scheme, port, network, rest.removeprefix("*"))


def _network(text: str) -> Network | None:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return ipaddress.ip_network(bare, strict=False)
    except ValueError:
        return None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
