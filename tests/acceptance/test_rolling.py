"""A release as its users live it: a balancer in front, every instance replaced, and replaced again."""

import asyncio
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from drained_instance import PROGRAM, SETTINGS
from haproxy import HAProxy
from processes import Process, ServiceProcess, fixed_ports
from strict_client import Load, request_bytes

ROLLS = 3
POSTERS = 10
BODY = b'{"origin": "JFK", "destination": "LAX"}' * 50
QUICK = {"LM_DRAIN_DELAY": "1", "LM_DRAIN_QUIET": "0.2", "LM_IDLE_GRACE": "1", "LM_ACCESS_LOG": "false"}
ABSENT = [program for program in ("haproxy", "wrk") if not shutil.which(program)]


class Fleet:
    """Instances that keep their ports over their lives."""

    def __init__(self, running: ExitStack, ports: list[int]) -> None:
        self.ports = {f"instance{n}": (ports[2 * n], ports[2 * n + 1]) for n in range(len(ports) // 2)}
        self._running = running
        self._services = {name: self._started(name) for name in self.ports}

    def replace(self, name: str) -> None:
        """Stops one as its preStop hook would, and starts its successor."""
        old = self._services[name]
        assert old.stop()["requests"]["cancelled"] == 0
        assert old.wait() == 0
        self._services[name] = self._started(name).wait_ready()

    def _started(self, name: str) -> ServiceProcess:
        service, management = self.ports[name]
        ports = {"LM_PORT": str(service), "LM_MANAGEMENT_PORT": str(management)}
        return self._running.enter_context(ServiceProcess(PROGRAM, settings={**SETTINGS, **QUICK, **ports}))


@pytest.fixture
def running() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)} (Debian: apt-get install haproxy wrk)")
def test_four_instances_behind_haproxy_without_retries_are_replaced_three_times_each_and_nobody_notices(
    running: ExitStack, tmp_path: Path
) -> None:
    """Case 14."""
    entrance, *ports = fixed_ports(9)
    fleet = Fleet(running, ports)
    proxy = running.enter_context(HAProxy(tmp_path, entrance, fleet.ports))
    proxy.wait_checked(*fleet.ports)
    command = ["wrk", "-t1", "-c8", "-d300s", "--timeout", "10s", f"http://127.0.0.1:{entrance}/slow/0.005"]
    wrk = running.enter_context(Process(command, folder=tmp_path))

    def roll() -> None:
        for _ in range(ROLLS):
            for name in fleet.ports:
                fleet.replace(name)
                proxy.wait_checked(name)

    async def rolled_under_posts() -> Load:
        load = Load(lambda: entrance, request_bytes("/echo", method="POST", body=BODY), pause=0.01)
        clients = asyncio.create_task(load.run(POSTERS))
        await asyncio.to_thread(roll)
        load.stop()
        return await clients

    load = asyncio.run(rolled_under_posts())
    wrk.signal(signal.SIGINT)
    assert wrk.wait() == 0
    said = "\n".join(wrk.output)
    assert (load.failures, load.refused) == ({}, 0)
    assert load.served > 1000
    assert "Non-2xx" not in said, said
    assert "Socket errors" not in said, said
    assert int(re.findall(r"(\d+) requests in", said)[0]) > 1000
