"""Workers that the kernel kills for memory: said by name, with the limit, and outlived by the supervisor."""

import contextlib
import os
import signal
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import ServiceProcess
from workers.conftest import SETTINGS, pids, wait_until

from lmservice.workers.memory import WORKERS_SCORE, MemoryKills
from lmservice.workers.replacement import _advice

LIMIT = 400 << 20
PROGRAM = """
import os
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from lmservice import Service

kept = []


def eat():
    while True:
        kept.append(b"x" * 10_000_000)


async def hungry(request):
    eat()


service = Service("tested", routes=[Route("/eat", hungry)])


@service.startup_job
def start():
    if os.environ.get("HUNGRY"):
        eat()
"""


def cgroup(root: Path, version: int, kills: int, limit: int | None) -> Path:
    """A process's cgroup as the kernel shows it; the file that says which it is."""
    folder = root / ("memory/pod/container" if version == 1 else "pod/container")
    folder.mkdir(parents=True, exist_ok=True)
    if version == 1:
        (folder / "memory.oom_control").write_text(f"oom_kill_disable 0\nunder_oom 0\noom_kill {kills}\n")
        (folder / "memory.limit_in_bytes").write_text(f"{limit or 9223372036854771712}\n")
    else:
        (folder / "memory.events").write_text(f"low 0\nhigh 0\nmax 7\noom 3\noom_kill {kills}\noom_group_kill 0\n")
        (folder / "memory.max").write_text(f"{limit or 'max'}\n")
    membership = root / "membership"
    both = "9:cpu,cpuacct:/pod/container\n4:memory:/pod/container\n" if version == 1 else ""
    membership.write_text(both + "0::/pod/container\n")
    return membership


@pytest.mark.parametrize("version", [1, 2])
def test_each_kill_is_taken_once_and_earlier_ones_never(tmp_path: Path, version: int) -> None:
    kills = MemoryKills(tmp_path, cgroup(tmp_path, version, 5, 1 << 30))
    assert not kills.take_one()
    cgroup(tmp_path, version, 7, 1 << 30)
    assert [kills.take_one() for _ in range(3)] == [True, True, False]
    assert kills.limit == 1 << 30


@pytest.mark.parametrize("version", [1, 2])
def test_the_limit_is_the_least_of_those_above_it_and_may_be_none(tmp_path: Path, version: int) -> None:
    kills = MemoryKills(tmp_path, cgroup(tmp_path, version, 0, None))
    assert kills.limit is None
    name = "memory.limit_in_bytes" if version == 1 else "memory.max"
    (kills._folder.parent / name).write_text("268435456\n")
    assert kills.limit == 256 << 20


def test_in_a_container_the_mount_is_the_cgroup_itself(tmp_path: Path) -> None:
    (tmp_path / "memory.events").write_text("oom_kill 0\n")
    (tmp_path / "membership").write_text("0::/../../elsewhere\n")
    kills = MemoryKills(tmp_path, tmp_path / "membership")
    (tmp_path / "memory.events").write_text("oom_kill 1\n")
    assert kills.take_one()


def test_where_nothing_is_to_be_read_nothing_is_said(tmp_path: Path) -> None:
    kills = MemoryKills(tmp_path / "none", tmp_path / "membership")
    assert not kills.take_one()
    assert kills.limit is None


@pytest.fixture
def container() -> Iterator[tuple[str, ...]]:
    """The prefix of a command that runs it with so much memory and no more, in a cgroup of its own."""
    roots = [Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")]
    root = next((each for each in roots if (each / "cgroup.procs").exists()), None)
    folder = (root or Path("/none")) / f"lmservice-test-{os.getpid()}"
    name = "memory.limit_in_bytes" if root == roots[0] else "memory.max"
    try:
        folder.mkdir()
        (folder / name).write_text(str(LIMIT))
        for swap in ("memory.memsw.limit_in_bytes", "memory.swap.max"):
            with contextlib.suppress(OSError):
                (folder / swap).write_text(str(LIMIT if swap.startswith("memory.memsw") else 0))
    except OSError as error:
        with contextlib.suppress(OSError):
            folder.rmdir()
        pytest.skip(f"needs a memory cgroup of its own: {error}")
    yield ("sh", "-c", f'echo $$ > {folder}/cgroup.procs; exec "$@"', "sh")
    with contextlib.suppress(OSError):
        folder.rmdir()


def start(start_process: Callable[..., ServiceProcess], container: tuple[str, ...], **settings: str) -> ServiceProcess:
    return start_process(PROGRAM, settings={**SETTINGS, **settings}, prefix=container)


def test_a_worker_that_is_killed_for_memory_is_said_to_be_and_is_replaced(
    start_process: Callable[..., ServiceProcess], container: tuple[str, ...]
) -> None:
    service = start(start_process, container).wait_ready()
    before = pids(service)
    scores = {pid: int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in (service.pid, *before.values())}
    own = scores.pop(service.pid)
    assert set(scores.values()) == {min(1000, own + WORKERS_SCORE)}
    with contextlib.suppress(OSError):
        urllib.request.urlopen(f"{service.url}/eat", timeout=60)
    died = service.event("lmservice.worker_died")
    assert (died["signal"], died["cause"], died["memory_limit"]) == ("SIGKILL", "memory", LIMIT)
    wait_until(lambda: len(pids(service)) == 2 and service.probe("/readyz") == 200)
    victim = pids(service)[1]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: sum(event["event"] == "lmservice.worker_died" for event in service.logs) == 2)
    second = [event for event in service.logs if event["event"] == "lmservice.worker_died"][1]
    assert "cause" not in second
    service.signal(signal.SIGTERM)
    assert service.wait() == 0


def test_a_start_that_fails_for_memory_says_so(
    start_process: Callable[..., ServiceProcess], container: tuple[str, ...]
) -> None:
    service = start(start_process, container, HUNGRY="1")
    assert service.wait() == 3
    error = service.event("lmservice.start_failed")["error"]
    assert error.endswith("it was killed for memory: the container's limit is 400 MiB")


def test_the_hint_of_a_crash_loop_says_what_to_do_about_memory() -> None:
    assert "LM_WORKERS" in _advice({"signal": "SIGKILL", "cause": "memory", "memory_limit": LIMIT})
    assert "400 MiB" in _advice({"signal": "SIGKILL", "cause": "memory", "memory_limit": LIMIT})
    assert "memory" not in _advice({"signal": "SIGKILL"})
