"""Real services in real processes: `lmservice run`, its log, its two ports, its signals and its exit code."""

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

TIMEOUT = 30.0
"""How long anything may take before it counts as hanging, in seconds: long, as the machine is shared."""

T = TypeVar("T")
_STEP = 0.01
_LEFT_OUT = ("LM_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "KUBERNETES_")
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port() -> int:
    """A port on which nothing listened a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def fixed_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, to be listened on again and again: below those that the kernel gives away."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        for port in range(20_000, 32_000):
            if len(found) == count:
                break
            probe = held.enter_context(socket.socket(socket.AF_INET6))
            try:
                probe.bind(("::", port))
            except OSError:
                continue
            found.append(port)
    return found


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without its own settings, proxies and cluster, and with `settings`."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(_LEFT_OUT)}
    return {**kept, **settings}


class Process:
    """A process whose output is read as it comes, and which does not outlive its `with`.

    Args:
        command: what to run.
        folder: where it runs.
        settings: what its environment has beyond this process's.
    """

    def __init__(self, command: Sequence[str], *, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.output: list[str] = []
        self._popen = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(settings or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._popen.poll() is None:
            self._popen.kill()
        self._popen.wait()
        self._reader.join(TIMEOUT)
        if self._popen.stdout and not self._reader.is_alive():  # which would not let it be closed
            self._popen.stdout.close()
        if error:
            error.add_note("The process said:\n" + "\n".join(self.output[-100:]))

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._popen.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal; nothing happens where the process has ended already."""
        self._popen.send_signal(number)

    def wait(self, timeout: float = TIMEOUT) -> int:
        """The exit code, once it has ended and all its output is read.

        Raises:
            TimeoutError: it has not ended within `timeout` seconds.
        """
        try:
            code = self._popen.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"still running after {timeout} s") from error
        self._reader.join(TIMEOUT)
        return code

    def _read(self) -> None:
        for line in self._popen.stdout or ():
            self.output.append(line.rstrip("\n"))


class ServiceProcess(Process):
    """`lmservice run` on a program of its own, on free ports unless `settings` say otherwise.

    Args:
        program: the Python source of the module, or the path of the file that has it.
        folder: where the module is written and runs; a temporary one by default.
        service: the name of the service in the module.
        settings: variables of its environment, `LM_...` and others.
        prefix: words before the command, such as `setpriv` and its options.
    """

    def __init__(
        self,
        program: str | Path,
        *,
        folder: Path | None = None,
        service: str = "service",
        settings: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="lmservice-")
        place = folder or Path(self._temporary.name)
        source = program.read_text() if isinstance(program, Path) else program
        (place / "program.py").write_text(source)
        super().__init__(
            [*prefix, str(Path(sys.executable).with_name("lmservice")), "run", f"program:{service}"],
            folder=place,
            settings={"LM_PORT": "0", "LM_MANAGEMENT_PORT": "0", "LM_LOG_FORMAT": "json", **(settings or {})},
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._temporary.cleanup()

    @property
    def logs(self) -> list[dict[str, Any]]:
        """The log events so far, in order; lines that are no JSON objects are left out."""
        events = []
        for line in list(self.output):
            with contextlib.suppress(ValueError):
                events.append(json.loads(line))
        return [event for event in events if isinstance(event, dict)]

    def event(self, name: str, *, timeout: float = TIMEOUT) -> dict[str, Any]:
        """The first log event of that name, waited for.

        Raises:
            RuntimeError: the process ended without it.
            TimeoutError: it did not come within `timeout` seconds.
        """
        return self._until(lambda: next((e for e in self.logs if e.get("event") == name), None), name, timeout)

    @functools.cached_property
    def port(self) -> int:
        """The service's port, waited for."""
        return urlsplit(str(self.event("lmservice.listening")["url"])).port or 0

    @functools.cached_property
    def management_port(self) -> int:
        """The management listener's port, waited for."""
        return urlsplit(str(self.event("lmservice.listening")["management_url"])).port or 0

    @property
    def url(self) -> str:
        """The service's base, as a client on this machine spells it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def management_url(self) -> str:
        """The management listener's base, as a client on this machine spells it."""
        return f"http://127.0.0.1:{self.management_port}"

    def wait_ready(self, timeout: float = TIMEOUT) -> Self:
        """Returns itself once `/readyz` answers 200, or raises as `wait_answering` does."""
        return self.wait_answering("/readyz", 200, timeout=timeout)

    def wait_draining(self, timeout: float = TIMEOUT) -> Self:
        """Returns itself once `/readyz` answers 503, as after a signal."""
        return self.wait_answering("/readyz", 503, timeout=timeout)

    def wait_answering(self, path: str, status: int, *, timeout: float = TIMEOUT) -> Self:
        """Returns itself once a management path answers with that status.

        Raises:
            RuntimeError: the process ended before.
            TimeoutError: not within `timeout` seconds.
        """
        return self._until(lambda: self if self.probe(path) == status else None, f"{path} {status}", timeout)

    def probe(self, path: str) -> int | None:
        """The status that a management path answers with; None where nothing answers."""
        with contextlib.suppress(OSError):
            return self.manage(path)[0]
        return None

    def manage(self, path: str, *, method: str = "GET", timeout: float = TIMEOUT) -> tuple[int, Any]:
        """Status and JSON body (text, where it is none) of a management endpoint, whatever the status is."""
        request = urllib.request.Request(self.management_url + path, method=method)
        try:
            with _OPENER.open(request, timeout=timeout) as response:
                return response.status, _loaded(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _loaded(error.read())

    def stop(self, *, timeout: float = TIMEOUT) -> dict[str, Any]:
        """Calls `/stop` and gives its report, once drained.

        Raises:
            RuntimeError: it answered anything but 200.
        """
        status, report = self.manage("/stop", method="POST", timeout=timeout)
        if status != 200 or not isinstance(report, dict):
            raise RuntimeError(f"/stop answered {status}: {report}")
        return report

    def begin_stop(self) -> Future[dict[str, Any]]:
        """Calls `/stop` from a thread and returns once the service is draining; the future has the report."""
        future: Future[dict[str, Any]] = Future()
        threading.Thread(target=_settle, args=(future, self.stop), daemon=True).start()
        self.wait_draining()
        return future

    def _until(self, look: Callable[[], T | None], what: str, timeout: float) -> T:
        end = time.monotonic() + timeout
        while True:
            ended = not self.running
            if (found := look()) is not None:
                return found
            if ended:
                raise RuntimeError(f"ended with {self.wait()} before: {what}")
            if time.monotonic() > end:
                raise TimeoutError(f"not within {timeout} s: {what}")
            time.sleep(_STEP)


def _loaded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


def _settle(future: Future[T], work: Callable[[], T]) -> None:
    try:
        future.set_result(work())
    except Exception as error:  # noqa: BLE001 - whoever waits for the future gets it
        future.set_exception(error)
