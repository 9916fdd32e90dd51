"""The command line: `lmservice run`, `stop`, `config`, `check`."""

from lmservice.cli.commands import main

__all__ = ["main"]
