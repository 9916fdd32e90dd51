"""The services that run on this machine, found by their names: nothing is registered, so nothing can be out of date.

Linux's `/proc` tells which processes are an `lmservice run` of this user's and where each listens; `GET /info` of its
management listener tells what it is called.
"""

import contextlib
import http.client
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lmservice.errors import UsageError

_PROC = Path("/proc")
_LISTENS = "0A"
"""TCP's state LISTEN in /proc/net/tcp, of which proc(5) tells."""
_PATIENCE = 2.0
"""The time that a listener has to say what it is, in seconds."""
_LARGEST = 65_536
"""The most that is read of what it says, in bytes."""


def urls_of(words: Sequence[str]) -> list[str]:
    """Return URLs as they are, and instead of each name the management listeners of its service on this machine.

    Without words these are all services that run here, or else the port of `LM_MANAGEMENT_PORT`.

    Raises:
        UsageError: no service of that name runs here.
    """
    port = os.environ.get("LM_MANAGEMENT_PORT")
    if not words:
        here = [] if port else [url for urls in running().values() for url in urls]
        return here or [f"http://localhost:{port or 8002}"]
    services = running() if any(_is_name(word) for word in words) else {}
    return [url for word in words for url in (_urls_of(word, services) if _is_name(word) else [word])]


def running() -> dict[str, list[str]]:
    """Return the management listeners of each service of this user's that runs here, by its name."""
    candidates = sorted({tuple(_ports(process)) for process in _processes()})
    services: dict[str, list[str]] = {}
    with ThreadPoolExecutor() as asking:
        for name, url in filter(None, asking.map(_listener_among, candidates)):
            if url not in services.setdefault(name, []):  # of workers, all hold it
                services[name].append(url)
    return dict(sorted(services.items()))


def _listener_among(ports: Sequence[int]) -> tuple[str, str] | None:
    """Find the management listener of a process; the service's own port comes last, as it counts what it is asked."""
    return next(((name, f"http://localhost:{port}") for port in ports if (name := _name_at(port))), None)


def _is_name(word: str) -> bool:
    return not set(word) & set("/:.")


def _urls_of(name: str, services: dict[str, list[str]]) -> list[str]:
    if name not in services:
        there = f"{', '.join(services)} run{'s' * (len(services) == 1)}" if services else "none runs"
        raise UsageError(f"no service called {name!r} runs here, {there}: for one elsewhere give its management URL")
    return services[name]


def _processes() -> Iterator[Path]:
    """Find the processes that are an `lmservice run`, by how they were called."""
    for process in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended since
            words = [os.fsdecode(word) for word in (process / "cmdline").read_bytes().split(b"\0")]
            called = [Path(word).name for word in words]
            if any(pair == ("lmservice", "run") for pair in itertools.pairwise(called)):
                yield process


def _ports(process: Path) -> Iterator[int]:
    """Find the ports on which a process listens, those of IPv6 first, as the management listener has both.

    None are found where the process is somebody else's.
    """
    sockets = set()
    with contextlib.suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                sockets.add(str(descriptor.readlink()))
    for table in ("tcp6", "tcp"):
        with contextlib.suppress(OSError):
            for line in (_PROC / "net" / table).read_text().splitlines()[1:]:
                _, local, _, state, _, _, _, _, _, inode, *_ = line.split()
                if state == _LISTENS and f"socket:[{inode}]" in sockets:
                    yield int(local.rpartition(":")[2], 16)


def _name_at(port: int) -> str:
    """Ask who listens there; empty where it is no management listener."""
    connection = http.client.HTTPConnection("localhost", port, timeout=_PATIENCE)
    try:
        connection.request("GET", "/info")
        response = connection.getresponse()
        info = json.loads(response.read(_LARGEST)) if response.status == http.client.OK else {}
    except (OSError, http.client.HTTPException, ValueError):
        return ""
    finally:
        connection.close()
    return str(info["name"]) if isinstance(info, dict) and {"name", "lmservice"} <= info.keys() else ""
