"""`lmservice run --reload`: the service in a child process, started anew whenever a source file changes."""

import contextlib
import os
import signal
import threading
from functools import partial
from multiprocessing import parent_process
from pathlib import Path
from socket import socket

import uvicorn
from uvicorn.supervisors.statreload import StatReload

from lmservice.cli.outcome import exit_code
from lmservice.cli.run import run as run_service
from lmservice.server import reaper


def run(target: str) -> int:
    """Run the service, anew after each change, until it is interrupted."""
    reaper.stand_in_as_first()
    config = uvicorn.Config(target, reload=True, reload_dirs=[str(Path.cwd())], log_config=None)
    _Reload(config, target=partial(_child, target), sockets=[]).run()
    return 0


class _Reload(StatReload):
    """A reloader that remembers over a restart what the files were when it began: one saved meanwhile has changed."""

    def startup(self) -> None:
        """Start the service; a terminal that goes ends it, as Ctrl-C does, unless that is ignored, as under nohup."""
        super().startup()
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self.signal_handler)

    def should_restart(self) -> list[Path] | None:
        """Return the files that have changed; end where the service has been stopped, as by `/stop`, and not broken."""
        if self.process.exitcode == 0:
            raise StopIteration
        return super().should_restart()

    def restart(self) -> None:
        """Start the service anew."""
        begun = {}
        for file in self.iter_py_files():
            with contextlib.suppress(FileNotFoundError):
                begun[file] = file.stat().st_mtime
        super().restart()
        self.mtimes = begun


def _child(target: str, sockets: list[socket] | None = None) -> None:
    del sockets
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    raise SystemExit(exit_code(lambda: run_service(target, one_process=True)))


def _end_with_parent() -> None:
    """Stop the service where its supervisor was killed, which leaves nobody else to."""
    if parent := parent_process():
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
