"""Graceful start, graceful stop, standard telemetry and configuration from the environment for ASGI services.

What it offers is imported when it is first asked for (PEP 562): `lmservice stop`, which runs in every pod,
needs none of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lmservice.version import __version__

if TYPE_CHECKING:
    from lmservice.client import CircuitOpen, Client, ClientPolicy, DeadlineExceeded
    from lmservice.errors import LmserviceError, StartError
    from lmservice.retrying import retry
    from lmservice.service import Service
    from lmservice.settings.model import Settings
    from lmservice.web.inputs import InvalidRequestError
    from lmservice.web.operation import operation

__all__ = [
    "CircuitOpen",
    "Client",
    "ClientPolicy",
    "DeadlineExceeded",
    "InvalidRequestError",
    "LmserviceError",
    "Service",
    "Settings",
    "StartError",
    "__version__",
    "operation",
    "retry",
]

_HOMES = {
    **dict.fromkeys(("CircuitOpen", "Client", "ClientPolicy", "DeadlineExceeded"), "client"),
    **dict.fromkeys(("LmserviceError", "StartError"), "errors"),
    "InvalidRequestError": "web.inputs",
    "Service": "service",
    "Settings": "settings.model",
    "operation": "web.operation",
    "retry": "retrying",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lmservice' has no attribute {name!r}")
    return getattr(import_module(f"lmservice.{_HOMES[name]}"), name)
