"""A real HAProxy in front of instances, believing their readiness and never retrying."""

import csv
import io
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from processes import Process

STEP = 0.1
"""Between two looks at its table, in seconds."""
CONFIGURATION = """
global
    maxconn 1000
    stats socket {folder}/stats

defaults
    mode http
    retries 0
    no option redispatch
    timeout connect 5s
    timeout client {timeout}s
    timeout server {timeout}s
    timeout check 5s # else as short as the pause between checks: a slow answer on busy cores takes a healthy one away

frontend entrance
    bind 127.0.0.1:{port}
    default_backend instances

backend instances
    balance roundrobin
    option httpchk GET {path}
    default-server check {every} fall 1 rise 1
"""


class HAProxy(Process):
    """A proxy over instances.

    Args:
        folder: where its files are.
        port: its own.
        instances: each one's port, and the port that its checks go to, by its name.
        path: what the checks ask for.
        every: how often they do, as HAProxy has it.
        timeout: of clients and of instances, in seconds.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        instances: Mapping[str, tuple[int, int]],
        *,
        path: str = "/readyz",
        every: str = "inter 100",
        timeout: int = 30,
    ) -> None:
        self.port = port
        self._stats = folder / "stats"
        lines = [
            f"    server {name} 127.0.0.1:{serving} port {checked}" for name, (serving, checked) in instances.items()
        ]
        text = CONFIGURATION.format(folder=folder, port=port, path=path, every=every, timeout=timeout)
        (folder / "haproxy.cfg").write_text(text + "\n".join(lines) + "\n")
        super().__init__(["haproxy", "-db", "-f", "haproxy.cfg"], folder=folder)

    def wait_checked(self, *names: str, status: str = "UP", within: float = 20) -> None:
        """Returns once the last checks of all of these found them so: UP gets traffic, DOWN gets none.

        HAProxy begins with every server up, before it has asked any.
        """
        end = time.monotonic() + within
        while not all(self._states().get(name) == status for name in names):
            assert self.running, "\n".join(self.output)
            assert time.monotonic() < end, f"not all {status}: {self._states()} after {within} s"
            time.sleep(STEP)

    def _states(self) -> dict[str, str]:
        with socket.socket(socket.AF_UNIX) as asked:
            try:
                asked.connect(str(self._stats))
            except OSError:
                return {}
            asked.sendall(b"show stat\n")
            table = asked.makefile().read()
        rows = csv.DictReader(io.StringIO(table.lstrip("# ")))
        checked = [row for row in rows if row["pxname"] == "instances" and row["check_status"] not in {"", "INI"}]
        return {row["svname"]: row["status"] for row in checked}
