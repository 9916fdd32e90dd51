"""A container of an image, run as a cluster would: confined, with a root file system that nobody can write."""

import json
import subprocess
import time
import urllib.request
from typing import Any

from podman import Podman
from processes import TIMEOUT, free_port

CONFINED = (
    "--read-only",
    "--read-only-tmpfs=false",
    "--tmpfs=/tmp",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
)


class Container:
    """A container that shares the machine's network, on free ports; `settings` are environment variables."""

    def __init__(self, image: str, **settings: object) -> None:
        self._podman = Podman()
        self.port, self.management = free_port(), free_port()
        environment = {
            "LM_PORT": self.port,
            "LM_MANAGEMENT_PORT": self.management,
            "LM_ENVIRONMENT": "qa",
            "LM_DRAIN_DELAY": 0.5,
            **settings,
        }
        variables = [word for name, value in environment.items() for word in ("--env", f"{name}={value}")]
        self._begun = time.monotonic()
        self._id = self._podman.run("run", "--detach", "--network=host", *CONFINED, *variables, image).strip()

    def wait_ready(self) -> float:
        """Seconds from the start to readiness."""
        while self._probe() != 200:
            assert time.monotonic() - self._begun < TIMEOUT, self._podman.run("logs", self._id)
            time.sleep(0.01)
        return time.monotonic() - self._begun

    def _probe(self) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.management}/readyz", timeout=5) as answer:
                status: int = answer.status
                return status
        except OSError:
            return 0

    def execute(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """What a command inside of it says."""
        words = self._podman.command("exec", self._id, *command)
        return subprocess.run(
            words, env=self._podman.environment, capture_output=True, text=True, timeout=120, check=False
        )

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        return int(self._podman.run("wait", self._id))

    def stop(self) -> None:
        """SIGTERM."""
        self._podman.run("kill", "--signal=TERM", self._id)

    def remove(self) -> None:
        """Ends it, however it is."""
        self._podman.run("rm", "--force", "--time=0", self._id)


def get(url: str) -> Any:
    """A JSON answer."""
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
        return json.load(answer)
