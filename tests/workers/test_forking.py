"""Workers share what the program imports: one process has imported it, and forks them."""

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from processes import ServiceProcess
from strict_client import Connection
from workers.conftest import PROGRAM, alive, pids, wait_until

from lmservice.workers import after_fork, obstacles
from lmservice.workers.merge_progress import merged

if TYPE_CHECKING:
    from lmservice.workers.exchange import Progress

Start = Callable[..., ServiceProcess]

SHOWS = """
import json, os, random, sys
from starlette.responses import JSONResponse
from starlette.routing import Route
from lmservice import Service

print("imported")
words = open(os.environ["WORDS"])
words.readline()


def show(request):
    links = []
    for number in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            pass
    return JSONResponse({
        "pid": os.getpid(), "parent": os.getppid(), "drawn": random.random(), "line": words.readline(),
        "input": os.readlink("/proc/self/fd/0"), "links": links,
    })


service = Service("shows", routes=[Route("/show", show)])
"""


@pytest.fixture
def shows(start_workers: Start, tmp_path: Path) -> ServiceProcess:
    words = tmp_path / "words"
    words.write_text("one\ntwo\nthree\n")
    return start_workers(SHOWS, WORDS=str(words)).wait_ready()


def shown(service: ServiceProcess) -> list[dict[str, object]]:
    """Return what each worker shows first."""
    by_worker: dict[int, dict[str, object]] = {}
    while len(by_worker) < 2:
        with Connection(service.port) as connection:
            answer = json.loads(connection.request("/show").body)
        by_worker.setdefault(answer["pid"], answer)
    return list(by_worker.values())


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def test_the_program_is_imported_once_and_the_workers_are_forks_of_it(shows: ServiceProcess) -> None:
    (forker,) = children(shows.pid)
    assert sorted(children(forker)) == sorted(pids(shows).values())
    assert shows.output.count("imported") == 1


def test_workers_share_no_position_no_random_numbers_and_no_input(shows: ServiceProcess) -> None:
    first, second = shown(shows)
    assert first["line"] == second["line"] == "two\n"
    assert first["drawn"] != second["drawn"]
    assert first["input"] == second["input"] == "/dev/null"
    assert first["parent"] == second["parent"] == children(shows.pid)[0]


def test_no_descriptor_of_the_supervisors_leaks_into_a_worker(shows: ServiceProcess) -> None:
    first, second = (set(map(str, worker["links"])) for worker in shown(shows))  # type: ignore[call-overload]
    (forker,) = children(shows.pid)
    supervisors = {str(path.readlink()) for path in Path(f"/proc/{shows.pid}/fd").iterdir()}
    held = {str(path.readlink()) for path in Path(f"/proc/{forker}/fd").iterdir()}
    shared = {link for link in first & second & supervisors if link.startswith("socket:")}
    assert len(shared) == 1  # the listener
    assert not shared & held
    assert not {link for link in (first & second) - supervisors if link.startswith(("socket:", "pipe:"))}


def test_a_replaced_worker_is_a_fork_as_well(shows: ServiceProcess) -> None:
    victim = pids(shows)[1]
    os.kill(victim, signal.SIGKILL)
    shows.event("lmservice.worker_replaced")
    wait_until(lambda: [worker["state"] for worker in shows.manage("/readyz")[1]["workers"]] == ["ready", "ready"])
    assert sorted(children(children(shows.pid)[0])) == sorted(pids(shows).values())
    assert shows.output.count("imported") == 1
    assert shows.event("lmservice.worker_died")["signal"] == "SIGKILL"


def test_where_the_forking_process_has_died_the_workers_go_on_and_the_next_imports_the_program(
    shows: ServiceProcess,
) -> None:
    before = pids(shows)
    os.kill(children(shows.pid)[0], signal.SIGKILL)
    os.kill(before[1], signal.SIGKILL)
    shows.event("lmservice.forker_ended")
    wait_until(lambda: [worker["state"] for worker in shows.manage("/readyz")[1]["workers"]] == ["ready", "ready"])
    after = pids(shows)
    assert after[2] == before[2]
    assert shows.output.count("imported") == 2
    shows.signal(signal.SIGTERM)
    shows.wait()
    assert not any(map(alive, after.values()))


def test_a_stop_leaves_no_forking_process(shows: ServiceProcess) -> None:
    (forker,) = children(shows.pid)
    shows.signal(signal.SIGTERM)
    assert shows.wait() == 0
    assert not alive(forker)


def test_a_supervisor_that_is_killed_leaves_no_forking_process(shows: ServiceProcess) -> None:
    (forker,) = children(shows.pid)
    shows.signal(signal.SIGKILL)
    wait_until(lambda: not alive(forker))


def test_a_program_that_starts_threads_at_its_import_has_workers_of_their_own_and_it_is_told(
    start_workers: Start,
) -> None:
    program = f"""
import socket, threading
threading.Thread(target=threading.Event().wait, name="pool-1", daemon=True).start()
bound = socket.create_server(("127.0.0.1", 0))
{PROGRAM.read_text()}
"""
    service = start_workers(program).wait_ready()
    because = service.event("lmservice.workers_not_forked")["because"]
    assert because[0] == "thread 'pool-1'"
    assert because[1].startswith("socket bound to 127.0.0.1:")
    assert sorted(children(service.pid)) == sorted(pids(service).values())
    os.kill(pids(service)[1], signal.SIGKILL)
    service.event("lmservice.worker_replaced")


def test_code_that_changed_between_two_workers_is_told_as_each_has_it() -> None:
    old: Progress = {"startup_jobs": {"database": {"status": "done"}}, "checks": {}, "periodic_jobs": {}}  # type: ignore[typeddict-item]
    new: Progress = {"startup_jobs": {"cache": {"status": "running"}}, "checks": {}, "periodic_jobs": {}}  # type: ignore[typeddict-item]
    for reports in ([old, new], [new, old]):
        assert merged(reports)["startup_jobs"] == {**old["startup_jobs"], **new["startup_jobs"]}


def test_what_a_fork_would_break_is_named(tmp_path: Path) -> None:
    before = obstacles.open_descriptors()
    known = set(obstacles.obstacles(before))
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait, name="flusher")
    thread.start()
    with socket.socket(socket.AF_UNIX) as sock, (tmp_path / "data.db").open("w+") as database:
        sock.bind(str(tmp_path / "socket"))
        names = [name for name in obstacles.obstacles(before) if name not in known]
        assert names == [
            "thread 'flusher'",
            f"socket bound to {tmp_path / 'socket'}",
            f"file '{database.name}', open for reading and writing",
        ]
    ended.set()
    thread.join()


def test_files_that_are_only_read_or_only_written_are_no_obstacle(tmp_path: Path) -> None:
    before = obstacles.open_descriptors()
    known = obstacles.obstacles(before)
    with (tmp_path / "log").open("a"), Path(__file__).open():
        assert obstacles.obstacles(before) == known


def test_numpys_old_generator_is_seeded_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    class Random:
        seeded = 0

        def seed(self) -> None:
            self.seeded += 1

    fake = Random()
    monkeypatch.setitem(sys.modules, "numpy.random", fake)
    monkeypatch.setattr(after_fork, "_leave_standard_input", lambda: None)
    after_fork.become_own(())
    assert fake.seeded == 1
