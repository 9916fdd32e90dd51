"""The outbound HTTP client, over httpx: deadlines, a retry budget, a circuit breaker per host (`lmservice[client]`)."""

from lmservice.errors import MissingExtraError

try:
    import httpx as _httpx  # noqa: F401 - to say what is missing, before the modules below do
except ImportError as error:
    raise MissingExtraError(f"lmservice's client needs httpx: install lmservice[client] ({error})") from error

from lmservice.client.client import Client
from lmservice.client.errors import CircuitOpen, DeadlineExceeded
from lmservice.client.policy import ClientPolicy

__all__ = ["CircuitOpen", "Client", "ClientPolicy", "DeadlineExceeded"]
