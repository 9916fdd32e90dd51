"""Graceful start, graceful stop, standard telemetry and configuration from the environment for ASGI services."""

__version__ = "0.1.0"
