"""The guard of the management listener: who may do what.

A page that a browser shows from elsewhere must not reach it through that browser, whatever the peer's address: neither
by a request across sites (`Origin`, `Sec-Fetch-Site`), nor by a name rebound to this address (`Host`). What stops,
changes or looks inside is for the networks in `LM_MANAGEMENT_ALLOW` alone; only the peer's own address counts, as
`X-Forwarded-For` can be written by anybody.

Browsers send `Sec-Fetch-*` only to addresses that they trust (https and loopback: https://www.w3.org/TR/fetch-metadata/
§2), and `Origin` with no GET of an image or a frame. So at any other address nothing tells a page of elsewhere from a
person, and what acts asks a browser for proof that the request is from the same origin.
"""

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from starlette.requests import Request

from lmservice.settings.model import Settings

OPEN = frozenset(("/livez", "/startupz", "/readyz", "/metrics"))
"""The endpoints that answer whoever can reach them."""


_SAME = ("same-origin", "none")
_BROWSERS = ("origin", "referer", "accept-language")


class Guard:
    """The rules, for one service's settings."""

    def __init__(self, settings: Settings) -> None:
        self._networks = settings.management_allow
        self._hosts = {host.lower() for host in settings.management_hosts} | {"localhost"}

    def objection(self, request: Request) -> str:
        """Return why a request is refused whatever the peer; '' where it is not."""
        if request.scope["path"] in OPEN:
            return ""
        hosts = request.headers.getlist("host")
        if objection := self._objection_to(hosts):
            return objection
        host = hosts[0] if hosts else ""
        if any(site.lower() not in _SAME for site in request.headers.getlist("sec-fetch-site")):
            return "a browser sent this from another site"
        if any(_authority(origin) != _authority(f"http://{host}") for origin in request.headers.getlist("origin")):
            return "the Origin is another site"
        return ""

    def _objection_to(self, hosts: Sequence[str]) -> str:
        if len(hosts) > 1:
            return "more than one Host header"
        if hosts and not self._known_host(hosts[0]):
            return "the Host is neither an address, localhost, nor in LM_MANAGEMENT_HOSTS"
        if hosts and _is_unspecified(hosts[0]):
            return "the Host is the unspecified address: ask localhost, or the machine's own address"
        return ""

    def proof_missing(self, request: Request) -> str:
        """Return why a request that acts is refused: a browser sent it, and nothing proves that its page is this one.

        Typed into an address bar it has no proof but `Sec-Fetch-Site: none`, which a bare address does not get.
        """
        headers = request.headers
        here = _authority(f"http://{headers.get('host', '')}")
        sites = headers.getlist("sec-fetch-site")
        pages = headers.getlist("origin") or headers.getlist("referer")
        same_site = bool(sites) and all(site.lower() in _SAME for site in sites)
        same_page = bool(pages) and here is not None and all(_authority(page) == here for page in pages)
        if not _is_browsers(request) or same_site or same_page:
            return ""
        return "a browser sent this, and does not say that it is from this page: use the console or another client"

    def allows(self, request: Request) -> bool:
        """Return whether the peer may stop the service, change it or look inside."""
        return request.client is not None and _within(request.client.host, self._networks)

    def _known_host(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name.removesuffix(".") in self._hosts or _is_address(name)


def _is_browsers(request: Request) -> bool:
    names = request.headers.keys()
    return (
        request.headers.get("user-agent", "").startswith("Mozilla/")
        or any(name in names for name in _BROWSERS)
        or any(name.startswith("sec-fetch-") for name in names)
    )


def _is_unspecified(host: str) -> bool:
    try:
        address = ip_address(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_unspecified


def _authority(url: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of an origin; None for what is none (`null`), which equals no other."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _within(peer: str, networks: Sequence[object]) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)  # type: ignore[operator]
