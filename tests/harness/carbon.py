"""Debian's carbon on free ports of the loopback, and what whisper says that it has stored."""

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

from processes import TIMEOUT, Process

INSTALLED = shutil.which("carbon-cache") is not None
_SYSTEM_PYTHON = "/usr/bin/python3"  # carbon and whisper are Debian's packages, not this environment's
_READ = """
import json, pathlib, sys, time, whisper
folder, found = pathlib.Path(sys.argv[1]), {}
for path in folder.rglob("*.wsp"):
    try:
        fetched = whisper.fetch(str(path), time.time() - 120)
    except Exception:
        continue  # carbon is about to make it
    values = [value for value in (fetched[1] if fetched else []) if value is not None]
    found[str(path.relative_to(folder))[:-4]] = values
print(json.dumps(found))
"""
_CONFIG = """[cache]
STORAGE_DIR = {folder}
LOCAL_DATA_DIR = {folder}/whisper
CONF_DIR = {folder}
LOG_DIR = {folder}
PID_DIR = {folder}
USER =
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = {port}
PICKLE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_PORT = {pickle_port}
CACHE_QUERY_INTERFACE = 127.0.0.1
CACHE_QUERY_PORT = {query_port}
MAX_CREATES_PER_MINUTE = inf
MAX_UPDATES_PER_SECOND = inf
CARBON_METRIC_INTERVAL = 0
ENABLE_TAGS = False
TAG_HASH_FILENAMES = False
"""
_SCHEMAS = "[everything]\npattern = .*\nretentions = 1s:10m\n"


class Carbon:
    """A carbon-cache that keeps a point a second; may be started, stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.port, pickle_port, query_port = free_ports(3)
        self.url = f"graphite://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: Process | None = None
        config = _CONFIG.format(folder=folder, port=self.port, pickle_port=pickle_port, query_port=query_port)
        (folder / "carbon.conf").write_text(config)
        (folder / "storage-schemas.conf").write_text(_SCHEMAS)

    def start(self) -> Self:
        """Returns once it accepts lines."""
        command = ["carbon-cache", "--nodaemon", f"--config={self._folder / 'carbon.conf'}", "start"]
        self._process = Process(command, folder=self._folder)
        deadline = time.monotonic() + TIMEOUT
        while not accepts(self.port):
            if time.monotonic() > deadline or not self._process.running:
                raise TimeoutError("carbon did not come up:\n" + "\n".join(self._process.output))
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """Ends it."""
        if self._process is not None:
            self._process.__exit__(None, None, None)
            self._process = None
            (self._folder / "carbon-cache-a.pid").unlink(missing_ok=True)

    def stored(self) -> dict[str, list[float]]:
        """The values of the last two minutes, by name: dots as written, tags in carbon's order."""
        folder = self._folder / "whisper"
        done = subprocess.run([_SYSTEM_PYTHON, "-c", _READ, folder], capture_output=True, text=True, check=True)
        found: dict[str, list[float]] = json.loads(done.stdout)
        return {_name(path): values for path, values in found.items()}

    def wait_for(self, name: str, value: float) -> dict[str, list[float]]:
        """What is stored, once a series has a value."""
        deadline = time.monotonic() + TIMEOUT
        while value not in (stored := self.stored()).get(name, []):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} never was {value}: {stored.get(name)}, of {sorted(stored)}")
            time.sleep(0.2)
        return stored


def _name(path: str) -> str:
    """A name as it was sent, of the path where carbon keeps it."""
    if path.startswith("_tagged/"):
        return path.split("/", 3)[3].replace("_DOT_", ".")
    return path.replace("/", ".")


def accepts(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
