"""`lmservice run --reload`: the service in a child process, started anew whenever a source file changes."""

from functools import partial
from pathlib import Path
from socket import socket

import uvicorn
from uvicorn.supervisors.statreload import StatReload

from lmservice.cli.commands import main


def run(target: str) -> int:
    """Supervises until it is interrupted."""
    config = uvicorn.Config(target, reload=True, reload_dirs=[str(Path.cwd())], log_config=None)
    _Reload(config, target=partial(_child, target), sockets=[]).run()
    return 0


class _Reload(StatReload):
    """Remembers over a restart what the files were before: a file saved meanwhile has changed."""

    def restart(self) -> None:
        """Starts the service anew."""
        before = dict(self.mtimes)
        super().restart()
        self.mtimes = before


def _child(target: str, sockets: list[socket] | None = None) -> None:
    del sockets
    raise SystemExit(main(["run", target, "--alone"]))
