"""The command line: `lmservice run`, `stop`, `config`, `check`."""

import gc


def main() -> int:
    """The entry point of the `lmservice` command."""
    gc.disable()  # nothing that a start makes is garbage; collected again from when the service is ready
    from lmservice.cli import commands  # noqa: PLC0415 - after that

    return commands.main()
