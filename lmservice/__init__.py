"""Graceful start, graceful stop, standard telemetry and configuration from the environment for ASGI services."""

import gc

_collecting = gc.isenabled()
gc.disable()  # nothing that an import makes is garbage: looking for some takes a tenth of a start

from lmservice.errors import LmserviceError  # noqa: E402
from lmservice.service import Service  # noqa: E402
from lmservice.settings import Settings  # noqa: E402
from lmservice.version import __version__  # noqa: E402

if _collecting:
    gc.enable()

__all__ = ["LmserviceError", "Service", "Settings", "__version__"]
