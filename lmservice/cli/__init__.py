"""The command line: `lmservice run`, `stop`, `config`, `check`, `top`, `verify-drain`."""

import gc


def main() -> int:
    """Run the `lmservice` command."""
    gc.disable()  # nothing that an import makes is garbage; on again when the service begins to start
    from lmservice.cli import parser  # noqa: PLC0415 - after that

    return parser.main()
