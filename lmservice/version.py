"""The version of lmservice."""

__version__ = "0.1.0"
