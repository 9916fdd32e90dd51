"""A real HAProxy in front of instances, believing their readiness and never retrying."""

import csv
import io
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from processes import Process

CHECK_MS = 100
CONFIGURATION = """
global
    maxconn 1000
    stats socket {folder}/stats

defaults
    mode http
    retries 0
    no option redispatch
    timeout connect 5s
    timeout client 30s
    timeout server 30s

frontend entrance
    bind 127.0.0.1:{port}
    default_backend instances

backend instances
    balance roundrobin
    option httpchk GET /readyz
    default-server check inter {interval} fall 1 rise 1
"""


class HAProxy(Process):
    """A proxy on `port` over the instances: service port and management port by name."""

    def __init__(self, folder: Path, port: int, instances: Mapping[str, tuple[int, int]]) -> None:
        self.port = port
        self._stats = folder / "stats"
        lines = [
            f"    server {name} 127.0.0.1:{service} port {management}"
            for name, (service, management) in instances.items()
        ]
        text = CONFIGURATION.format(folder=folder, port=port, interval=CHECK_MS)
        (folder / "haproxy.cfg").write_text(text + "\n".join(lines) + "\n")
        super().__init__(["haproxy", "-db", "-f", "haproxy.cfg"], folder=folder)

    def wait_up(self, *names: str, within: float = 20) -> None:
        """Returns once every one of these instances gets traffic."""
        end = time.monotonic() + within
        while not all(self._states().get(name) == "UP" for name in names):
            assert self.running, "\n".join(self.output)
            assert time.monotonic() < end, f"{self._states()} after {within} s"
            time.sleep(CHECK_MS / 1000)

    def _states(self) -> dict[str, str]:
        with socket.socket(socket.AF_UNIX) as asked:
            try:
                asked.connect(str(self._stats))
            except OSError:
                return {}
            asked.sendall(b"show stat\n")
            table = asked.makefile().read()
        rows = csv.DictReader(io.StringIO(table.lstrip("# ")))
        return {row["svname"]: row["status"] for row in rows if row["pxname"] == "instances"}
