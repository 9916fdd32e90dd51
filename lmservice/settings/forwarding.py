"""Which proxies are believed: lmservice's own setting, and uvicorn's variable where ours is not set.

uvicorn's takes what is no address as a literal that never matches a peer; here it is named at the start.
"""

from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from typing import Any, Final

UVICORNS_VARIABLE: Final = "FORWARDED_ALLOW_IPS"
EVERYWHERE: Final = ("0.0.0.0/0", "::/0")
"""Every network, as uvicorn's `*` means it."""
RFC_7239: Final = "forwarded"
"""The word for RFC 7239's header, beside the names of the `X-Forwarded-` headers."""


def read_uvicorns(variables: Mapping[str, str]) -> dict[str, Any]:
    """Read what uvicorn's variable says of the proxies, as a source of settings; empty where it is not set."""
    text = variables.get(UVICORNS_VARIABLE)
    return {} if text is None else {"forwarded_allow": networks_of(text)[0]}


def networks_of(text: str) -> tuple[list[str], list[str]]:
    """Return the networks that uvicorn's variable names, and the entries that are no address."""
    if text.strip() == "*":
        return list(EVERYWHERE), []
    networks, others = [], []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        try:
            networks.append(str(ip_network(entry)))
        except ValueError:
            others.append(entry)
    return networks, others


def agreeing(headers: Sequence[str]) -> Sequence[str]:
    """Return the headers that are believed, where they can be together.

    Raises:
        ValueError: RFC 7239's is among others.
    """
    if RFC_7239 in headers and len(set(headers)) > 1:
        others = ", ".join(name for name in headers if name != RFC_7239)
        raise ValueError(f"'{RFC_7239}' is RFC 7239's header and excludes the X-Forwarded-* ones: drop it, or {others}")
    return headers
