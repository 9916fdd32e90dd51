"""`lmservice run --reload`: the service in a child process, started anew whenever a source file changes."""

from functools import partial
from pathlib import Path
from socket import socket

import uvicorn
from uvicorn.supervisors import ChangeReload

from lmservice.cli.commands import main


def run(target: str) -> int:
    """Supervises until it is interrupted."""
    config = uvicorn.Config(target, reload=True, reload_dirs=[str(Path.cwd())], log_config=None)
    ChangeReload(config, target=partial(_child, target), sockets=[]).run()
    return 0


def _child(target: str, sockets: list[socket] | None = None) -> None:
    del sockets
    raise SystemExit(main(["run", target]))
