"""The tests of the console watch what those of the management listener run."""

from management.conftest import flights, shared

__all__ = ["flights", "shared"]
