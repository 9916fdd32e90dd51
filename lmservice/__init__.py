"""Graceful start, graceful stop, standard telemetry and configuration from the environment for ASGI services."""

__version__ = "0.1.0"

from lmservice.errors import LmserviceError
from lmservice.service import Service
from lmservice.settings import Settings

__all__ = ["LmserviceError", "Service", "Settings", "__version__"]
