"""Real servers for the tests: PostgreSQL and Redis, each in a folder of its own, on a port that stays the same."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 60
"""How long a server may take to start or to end, in seconds."""

ROLE = "postgres"


class Server:
    """A server process that can be ended and started again."""

    def __init__(self, command: Sequence[str], folder: Path, port: int, **options: Any) -> None:
        self.port = port
        self._command = command
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, and returns when it accepts connections."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._options
            )
        until(self._accepts, lambda: (self._folder / "log").read_text(errors="replace"))

    def end(self, how: signal.Signals) -> None:
        """Ends it by a signal."""
        if self._process is not None:
            self.go_on()
            self._process.send_signal(how)
            self._process.wait(PATIENCE)
            self._process = None

    def hang(self) -> None:
        """Lets it accept connections, and do nothing else."""
        self._signal_all(signal.SIGSTOP)

    def go_on(self) -> None:
        """Ends a hang."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, which: signal.Signals) -> None:
        """The process itself goes first, so that it has no new children meanwhile."""
        assert self._process is not None
        os.kill(self._process.pid, which)
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        for child in map(int, children.split()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, which)

    def _accepts(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text(errors="replace")
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE).close()
        except ConnectionError:
            return False
        return True


def until(done: Callable[[], bool], said: Callable[[], object] = str) -> None:
    """Waits for something that another process does."""
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline, said()
        time.sleep(0.02)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def redis_server() -> Iterator[Server]:
    """Redis that keeps nothing, running when entered."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        words = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", folder]
        server = Server([program, *words], Path(folder), port)
        server.start()
        try:
            yield server
        finally:
            server.end(signal.SIGKILL)


class Postgres(Server):
    """PostgreSQL on a data folder, which whoever runs it owns; further settings are its own."""

    def __init__(self, data: Path, port: int, **settings: str) -> None:
        program = str(postgres_programs() / "postgres")
        usual = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off", "port": str(port)}
        words = [word for name, value in {**usual, **settings}.items() for word in ("-c", f"{name}={value}")]
        self.data = data
        super().__init__([program, "-D", str(data), *words], data.parent, port, **owner())

    def _accepts(self) -> bool:
        """While it recovers it takes connections, only to refuse them."""
        asked = [str(postgres_programs() / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return super()._accepts() and subprocess.run(asked, check=False).returncode == 0

    def url(self, name: str = "postgres", host: str = "127.0.0.1") -> str:
        """Of one of its databases, as `LM_DATABASE_URL` takes it."""
        return f"postgresql://{ROLE}@{host}:{self.port}/{name}"


@contextmanager
def postgres(like: Path | None = None, network: str = "", **settings: str) -> Iterator[Postgres]:
    """PostgreSQL, running when entered: an empty one, or on a copy of a data folder; open to a network, where asked."""
    with owned_folder() as folder:
        data = folder / "data"
        if like is None:
            run(postgres_programs() / "initdb", "-D", data, "-U", ROLE, "-A", "trust", "-E", "UTF8", "--no-sync")
        else:
            subprocess.run(["cp", "-a", like, data], check=True)
        if network:
            with (data / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {network} trust\n")
            settings["listen_addresses"] = "*"
        server = Postgres(data, free_port(), **settings)
        server.start()
        try:
            yield server
        finally:
            server.end(signal.SIGQUIT)


@contextmanager
def owned_folder() -> Iterator[Path]:
    """A temporary folder of the user that PostgreSQL runs as."""
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        if "user" in owner():
            os.chown(folder, owner()["user"], owner()["group"])
        yield Path(folder)


def run(*words: Path | str) -> None:
    """Runs a program as PostgreSQL's owner."""
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False, cwd="/", **owner())
    assert done.returncode == 0, done.stderr


def owner() -> dict[str, Any]:
    """Whom PostgreSQL runs as: the user of the tests, but root, as which it will not, gives way to its own."""
    if os.getuid() != 0:
        return {}
    user = pwd.getpwnam(ROLE)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def postgres_programs() -> Path:
    """Where they are: on the PATH, or where Debian puts them."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not places:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    return places[-1].parent
