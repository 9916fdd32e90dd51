"""A PostgreSQL for tests: a cluster of its own in a temporary folder, from the machine's programs."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processes import TIMEOUT, free_port

USER = "postgres"
_STEP = 0.1


def programs() -> Path | None:
    """The folder of the newest server's programs, where there is one."""
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


@contextmanager
def running() -> Iterator[str]:
    """The URL of a database in a cluster that ends with the block."""
    folder = programs()
    assert folder
    prefix = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"] if os.geteuid() == 0 else []
    place = Path(tempfile.mkdtemp(prefix="lmservice-postgresql-", dir="/tmp"))
    if prefix:
        shutil.chown(place, USER, USER)
    data, port = place / "data", free_port()
    initialise = [*prefix, str(folder / "initdb"), "--auth=trust", f"--username={USER}", "--no-sync", "-D", str(data)]
    subprocess.run(initialise, check=True, capture_output=True, cwd="/", timeout=120)
    options = ["-D", str(data), "-p", str(port), "-k", str(place), "-h", "127.0.0.1", "-F"]
    server = subprocess.Popen(
        [*prefix, str(folder / "postgres"), *options], cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait(folder / "pg_isready", port)
        yield f"postgresql+asyncpg://{USER}@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        server.wait(TIMEOUT)
        shutil.rmtree(place)


def _wait(ready: Path, port: int) -> None:
    end = time.monotonic() + TIMEOUT
    command = [str(ready), "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(command, check=False, capture_output=True, timeout=TIMEOUT).returncode:
        assert time.monotonic() < end, "PostgreSQL did not start"
        time.sleep(_STEP)
