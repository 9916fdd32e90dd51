"""A Redis of the tests' own, on a free port."""

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

import pytest
from processes import free_port


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """Runs one, and gives its URL; skips the test where there is no `redis-server`."""
    if (program := shutil.which("redis-server")) is None:
        pytest.skip("needs redis-server")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="lmservice-") as folder:
        words = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
            assert any("Ready to accept connections" in line for line in server.stdout or ())
            try:
                yield f"redis://127.0.0.1:{port}/0"
            finally:
                server.terminate()
