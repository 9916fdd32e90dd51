"""The outbound HTTP client, over httpx: deadlines, a retry budget, a circuit breaker per host (`lmservice[client]`)."""

from importlib.util import find_spec

from lmservice.errors import MissingExtraError

if find_spec("httpx") is None:
    raise MissingExtraError("lmservice's client needs httpx: install lmservice[client]")

from lmservice.client.client import Client
from lmservice.client.errors import CircuitOpen, DeadlineExceeded
from lmservice.client.policy import ClientPolicy

__all__ = ["CircuitOpen", "Client", "ClientPolicy", "DeadlineExceeded"]
