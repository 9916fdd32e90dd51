"""What an operator sees of several workers, and does to them."""

import json
import os
import signal
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from processes import ServiceProcess
from strict_client import Connection, request_bytes
from workers.conftest import each_worker, pids, wait_until

Start = Callable[..., ServiceProcess]


def put(service: ServiceProcess, logger: str, **change: object) -> None:
    """Changes a log level."""
    body = json.dumps(change).encode()
    request = urllib.request.Request(f"{service.management_url}/loggers/{logger}", data=body, method="PUT")
    with urllib.request.urlopen(request, timeout=20) as response:
        assert response.status == 200


def details(service: ServiceProcess) -> Counter[str]:
    """How often each worker has said what it says at DEBUG."""
    return Counter(event["worker"] for event in service.logs if event["event"] == "a detail")


def say(service: ServiceProcess) -> None:
    """Has each worker say something."""
    with each_worker(service) as connections:
        for connection in connections.values():
            assert connection.request("/say/1").status == 200


def test_a_level_is_changed_in_all_workers_and_in_those_that_come_later(service: ServiceProcess) -> None:
    say(service)
    put(service, "program", level="DEBUG", duration=600)
    say(service)
    wait_until(lambda: details(service) == {"1": 1, "2": 1})
    assert service.manage("/loggers")[1]["loggers"]["program"]["level"] == "DEBUG"
    os.kill(pids(service)[1], signal.SIGKILL)
    service.event("lmservice.worker_replaced")
    wait_until(lambda: [each["state"] for each in service.manage("/readyz")[1]["workers"]] == ["ready", "ready"])
    say(service)
    wait_until(lambda: details(service) == {"1": 2, "2": 2})


def test_a_level_reverts_in_all_workers(service: ServiceProcess) -> None:
    put(service, "program", level="DEBUG", duration=0.3)
    wait_until(lambda: service.manage("/loggers")[1]["loggers"]["program"]["level"] is None)
    say(service)
    assert details(service) == {}


def test_a_level_that_is_none_is_refused(service: ServiceProcess) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        put(service, "program", level="LOUD")
    assert refused.value.code == 422
    refused.value.close()


def test_tasks_tells_those_of_every_worker(service: ServiceProcess) -> None:
    with each_worker(service) as connections:
        for connection in connections.values():
            connection.send(request_bytes("/slow/5"))
        wait_until(lambda: len(slow_tasks(service)) == 2)
        assert {each["worker"] for each in slow_tasks(service)} == {1, 2}
        threads = {(each["worker"], each["name"]) for each in service.manage("/tasks")[1]["threads"]}
        assert {("supervisor", "MainThread"), (1, "MainThread"), (2, "MainThread")} <= threads


def slow_tasks(service: ServiceProcess) -> list[dict[str, object]]:
    return [each for each in service.manage("/tasks")[1]["tasks"] if "in slow" in str(each["stack"])]


def test_a_worker_that_does_not_answer_is_named_among_the_tasks_of_the_others(service: ServiceProcess) -> None:
    victim = pids(service)[2]
    os.kill(victim, signal.SIGSTOP)
    try:
        wait_until(lambda: all(") T " in each.read_text() for each in Path(f"/proc/{victim}/task").glob("*/stat")))
        told = service.manage("/tasks")[1]
    finally:
        os.kill(victim, signal.SIGCONT)
    assert {each["worker"] for each in told["tasks"]} == {"supervisor", 1}
    assert "worker 2" in str(told["problems"])


def test_sigusr1_has_every_process_log_its_stacks(service: ServiceProcess) -> None:
    service.signal(signal.SIGUSR1)
    said = {"supervisor", "1", "2"}
    wait_until(lambda: {each.get("worker", "supervisor") for each in threads_told(service)} == said)
    with each_worker(service):
        assert service.running


def threads_told(service: ServiceProcess) -> list[dict[str, str]]:
    return [each for each in service.logs if each["event"] == "lmservice.thread_stack"]


def test_lines_of_all_workers_are_whole_however_long_they_are(service: ServiceProcess) -> None:
    """On one pipe, a write of more than a page may be interrupted by another's."""
    lengths = (1, 300, 3_000, 5_000, 20_000)

    def talk(client: int, connection: Connection) -> None:
        for number in range(60):
            path = f"/say/{lengths[(client + number) % len(lengths)]}"
            assert connection.request(path).status == 200

    with each_worker(service) as connections, ExitStack() as more, ThreadPoolExecutor(8) as threads:
        others = [more.enter_context(Connection(service.port)) for _ in range(6)]
        list(threads.map(talk, range(8), [*connections.values(), *others]))
    service.stop()
    service.wait()
    assert [line[:80] for line in service.output if line != "cleaned up" and not line.startswith("{")] == []
    events = [json.loads(line) for line in service.output if line != "cleaned up"]
    said = [event for event in events if event["event"] == "said"]
    assert Counter(len(event["what"]) for event in said) == dict.fromkeys(lengths, 96)
    assert {event["worker"] for event in said} == {"1", "2"}
    assert len([event for event in events if event.get("route") == "/say/{length}"]) == 480


def test_the_life_of_the_service_is_told_once_and_that_of_each_worker_under_its_number(service: ServiceProcess) -> None:
    service.stop()
    service.wait()
    for event in ("ready", "draining", "stopped"):
        assert [each.get("worker") for each in service.logs if each["event"] == f"lmservice.{event}"] == [None]
        of_workers = [each["worker"] for each in service.logs if each["event"] == f"lmservice.worker_{event}"]
        assert sorted(of_workers) == ["1", "2"]


def test_config_and_info_are_the_services(service: ServiceProcess) -> None:
    assert service.manage("/config")[1]["workers"]["value"] == 2
    info = service.manage("/info")[1]
    assert info["name"] == "workers"
    assert "worker" not in info
